"""Tiny CLIP models with their dense Hessians."""

import pytest
from tiny_clips import TOWERS, dense_hessian, pairs, tiny_clip

from clip_mamba.hessian import ClipLoss


@pytest.fixture(scope="session", params=list(TOWERS))
def tiny(request):
    """Loss, parameters, batches, dense Hessians of one family."""
    model = tiny_clip(request.param)
    params, loss_fn = list(model.parameters()), ClipLoss(model, l2=0.3)
    batches = [pairs(4, seed=0)]
    assert sum(p.numel() for p in params) <= 3000
    return loss_fn, params, batches, [dense_hessian(model, params, b, l2=0.3) for b in batches]
