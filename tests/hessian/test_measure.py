"""The whole analysis of a CLIP model, its blocks, and its result file."""

import json

import numpy as np
import pytest
import torch
from tiny_clips import TOWERS, dense_hessian, pairs, tiny_clip
from torch.nn import functional as F

from clip_mamba.hessian import (
    ClipLoss,
    Settings,
    block_parameters,
    blocks,
    filter_normalised,
    loss_surface,
    max_eigenvalue_spectrum,
    measure,
)
from clip_mamba.results import Result

SETTINGS = Settings(k=3, steps=30, max_products=60, tolerance=1e-3, l2=0.05)


@pytest.fixture(scope="module")
def model():
    return tiny_clip("vit", torch.float32)


@pytest.fixture(scope="module")
def batches():
    return [pairs(6, torch.float32, seed=i) for i in range(2)]


@pytest.fixture(scope="module")
def report(model, batches):
    return measure(model.train(), batches, SETTINGS, progress=False)


def test_the_loss_is_clips(model, batches):
    images, texts = batches[0]
    model = model.eval()
    u, v = F.normalize(model.encode_image(images), dim=-1), model.encode_text(texts)
    similarity = (u @ F.normalize(v, dim=-1).T * model.logit_scale.exp()).log_softmax(1).diag()
    other = (F.normalize(v, dim=-1) @ u.T * model.logit_scale.exp()).log_softmax(1).diag()
    expected = -(similarity.mean() + other.mean()) / 2
    torch.testing.assert_close(ClipLoss(model)(batches[0]), expected)
    matrices = [p for n, p in model.named_parameters() if p.ndim >= 2 and "ln_" not in n]
    decayed = sum(float(p.detach().square().sum()) for p in matrices if p.ndim >= 2)
    with_l2 = float(ClipLoss(model, l2=0.1)(batches[0]))
    assert with_l2 == pytest.approx(float(expected) + 0.05 * decayed, rel=1e-4)


def test_measures_agree_with_the_single_functions_and_the_dense_hessian(model, batches, report):
    twin = tiny_clip("vit", torch.float64)
    params = list(twin.parameters())
    batch = (batches[0][0].double(), batches[0][1])
    exact = torch.linalg.eigvalsh(dense_hessian(twin, params, batch)).numpy()
    np.testing.assert_allclose(report.spectrum.largest[0], exact[::-1][:3], rtol=1e-4)
    np.testing.assert_allclose(report.spectrum.smallest[0], exact[:3], rtol=1e-4)
    error = 4 * report.trace.per_batch_error[0]
    assert report.trace.per_batch[0] == pytest.approx(exact.sum(), abs=error)
    assert report.figures()["effective_rank"]["per_batch"][0] == pytest.approx(
        (exact**2).sum() / np.abs(exact).max() ** 2, rel=0.02
    )
    # The L2 shift is of first order, so a small term is compared.
    total = torch.linalg.eigvalsh(dense_hessian(twin, params, batch, l2=0.05)).numpy()
    shifts = np.r_[total[::-1][:3] - exact[::-1][:3], total[:3] - exact[:3]]
    np.testing.assert_allclose(report.l2_shifts[0], shifts, rtol=0.01)


def test_the_model_is_left_as_it_was(model, batches):
    model.train()
    before = {n: p.clone() for n, p in model.state_dict().items()}
    quick = Settings(k=1, steps=4, max_products=4, probes=1)
    first = measure(model, batches, quick, progress=False)
    second = measure(model, batches, quick, progress=False)
    assert model.training
    assert all(torch.equal(before[n], p) for n, p in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters())
    np.testing.assert_array_equal(first.density.nodes, second.density.nodes)
    np.testing.assert_array_equal(first.trace.samples, second.trace.samples)


def test_the_report_fits_the_result_schema(report, tmp_path):
    fields = report.result_fields()
    result = Result(
        scale="test",
        model="ViT-Test",
        image_parameters=1,
        text_parameters=1,
        seed=0,
        split="train",
        data_sha256="0" * 64,
        **fields,
    )
    result.write(tmp_path / "hessian.json")
    details = Result.read(tmp_path / "hessian.json").details
    assert result.metric == "lambda_max_mean"
    assert result.value == pytest.approx(report.spectrum.largest[:, 0].mean())
    assert result.interval[0] < result.value < result.interval[1]
    assert result.examples == 12
    assert np.shape(details["eigenvalues"]["largest"]) == (2, 3)
    assert np.shape(details["density"]["nodes"]) == (2, 1, 30)
    assert np.shape(details["trace"]["samples"]) == (2, 3)
    assert details["settings"]["batch_size"] == 6
    assert details["probes"]["precision"] < 1e-3
    json.dumps(details, allow_nan=False)


def test_a_single_batch_has_no_interval(model, batches):
    quick = Settings(k=1, steps=4, max_products=4, probes=1)
    report = measure(model, batches[:1], quick, progress=False)
    fields = report.result_fields()
    assert fields["interval"] is None
    assert fields["interval_method"] is None
    json.dumps(fields["details"], allow_nan=False)


def test_blocks_restrict_the_hessian(batches):
    model = tiny_clip("vmamba")
    sizes = {name: sum(p.numel() for p in ps) for name, ps in blocks(model).items()}
    assert sizes["image"] + sizes["text"] + 1 == sizes["all"]
    assert 0 < sizes["scan"] < sizes["stage-0"] < sizes["image"]
    for family in TOWERS:
        own = {n: sum(p.numel() for p in ps) for n, ps in blocks(tiny_clip(family)).items()}
        parts = [n for n in own if n in ("stem", "head") or n.startswith("stage-")]
        assert {"stem", "head", "stage-0"} <= set(parts)
        assert sum(own[n] for n in parts) == own["image"]
    with pytest.raises(ValueError, match="no block 'stage-o'.*Did you mean 'stage-0'"):
        block_parameters(model, "stage-o")
    params, batch = block_parameters(model, "scan"), (batches[0][0].double(), batches[0][1])
    found = max_eigenvalue_spectrum(ClipLoss(model), params, [batch], k=2)
    exact = torch.linalg.eigvalsh(dense_hessian(model, params, batch)).numpy()
    np.testing.assert_allclose(found.largest[0], exact[::-1][:2], rtol=1e-5)


def test_unequal_batches_are_refused(model, batches):
    short = (batches[1][0][:3], batches[1][1][:3])
    for bad in ([], [batches[0], short]):
        with pytest.raises(ValueError, match="same number of pairs"):
            measure(model, bad, progress=False)


def test_surface_of_a_quadratic_and_its_directions():
    matrix = torch.diag(torch.tensor([4.0, -2.0, 0.0, 1.0]))
    weights = torch.zeros(4, requires_grad=True)
    axes = torch.eye(4)

    def loss_fn(scale):
        return scale * weights @ matrix @ weights / 2

    grid = np.linspace(-1, 1, 5)
    plane = loss_surface(loss_fn, [weights], [1.0, 3.0], [axes[0], axes[1]], grid)
    np.testing.assert_allclose(plane, 4 * grid[:, None] ** 2 - 2 * grid[None] ** 2, atol=1e-6)
    line = loss_surface(loss_fn, [weights], [1.0], [axes[3]], grid)
    np.testing.assert_allclose(line, grid**2 / 2, atol=1e-6)
    assert torch.equal(weights.detach(), torch.zeros(4))
    params = [torch.randn(3, 2, 2, requires_grad=True), torch.randn(3, requires_grad=True)]
    rows = filter_normalised(params, seed=1)[:12].view(3, 4)
    torch.testing.assert_close(rows.norm(dim=1), params[0].detach().reshape(3, -1).norm(dim=1))
    assert not filter_normalised(params, seed=1)[12:].any()
    assert not torch.equal(rows, filter_normalised(params, seed=1, index=1)[:12].view(3, 4))
