"""Micro-batches of the contrastive loss: the same Hessian, a part of the memory."""

import numpy as np
import pytest
import torch
from tiny_clips import TOWERS, pairs, tiny_clip

from clip_mamba.hessian import (
    ClipLoss,
    ContrastiveOperator,
    HessianOperator,
    Settings,
    block_parameters,
    hessian_of,
    measure,
)


@pytest.mark.parametrize("block", ["all", "image", "text"])
@pytest.mark.parametrize("family", TOWERS)
def test_products_do_not_depend_on_the_micro_batches(family, block):
    model, batch = tiny_clip(family), pairs(7)
    params, loss = block_parameters(model, block), ClipLoss(model, l2=0.3)
    with HessianOperator(loss, params, batch) as whole:
        v = torch.randn(whole.size, dtype=torch.float64)
        product = whole.matvec(v)
    for chunk in (1, 3, 4):
        with ContrastiveOperator(loss, params, batch, chunk) as parts:
            error = (parts.matvec(v) - product).norm() / product.norm()
            assert error < 1e-8
            assert parts.loss == pytest.approx(whole.loss, rel=1e-12)
            assert (parts.gradient - whole.gradient).norm() < 1e-8 * whole.gradient.norm()
            assert parts.products == 1


def test_the_graph_is_kept_where_everything_fits():
    model, batch = tiny_clip("vit"), pairs(4)
    params, loss = list(model.parameters()), ClipLoss(model)
    assert isinstance(hessian_of(loss, params, batch), HessianOperator)
    assert isinstance(hessian_of(loss, params, batch, 4), HessianOperator)
    assert isinstance(hessian_of(loss, params, batch, 2), ContrastiveOperator)


def test_only_a_micro_batch_goes_through_the_towers():
    model, batch = tiny_clip("vit"), pairs(6)
    seen = []
    model.visual.register_forward_pre_hook(lambda _, args: seen.append(len(args[0])))
    operator = ContrastiveOperator(ClipLoss(model), list(model.parameters()), batch, 2)
    operator.matvec(torch.randn(operator.size, dtype=torch.float64))
    assert set(seen) == {2}


def test_a_whole_measurement_agrees():
    model = tiny_clip("simba", torch.float32)
    batches = [pairs(6, torch.float32, seed=i) for i in range(2)]
    settings = {"k": 2, "steps": 20, "max_products": 40, "tolerance": 1e-3}
    whole = measure(model, batches, Settings(**settings), progress=False)
    parts = measure(model, batches, Settings(**settings, chunk=4), progress=False)
    np.testing.assert_allclose(parts.spectrum.largest, whole.spectrum.largest, rtol=1e-4)
    np.testing.assert_allclose(parts.spectrum.smallest, whole.spectrum.smallest, rtol=1e-3)
    np.testing.assert_allclose(parts.losses, whole.losses, rtol=1e-5)
