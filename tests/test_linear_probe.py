import io

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image
from sklearn.linear_model import LogisticRegression

from clip_mamba import create_model
from clip_mamba.checkpoints import save_weights
from clip_mamba.data.shards import write_tar
from clip_mamba.data.tasks import Task, TrainSplit, write_task
from clip_mamba.files import sha256
from clip_mamba.linear_probe import choose_c, fit, run, tower_features, train
from clip_mamba.results import Result


@pytest.fixture(scope="module")
def blobs():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 5, 300)
    features = rng.normal(size=(300, 12)) + 0.8 * rng.normal(size=(5, 12))[labels]
    return torch.from_numpy(features), labels


@pytest.mark.parametrize("c", [1e-3, 0.1, 10.0])
def test_the_fit_is_scikit_learns(blobs, c):
    features, labels = blobs
    ours = fit(features, labels, 5, c, tolerance=1e-8)
    theirs = LogisticRegression(C=c, tol=1e-8, max_iter=5000).fit(features.numpy(), labels)
    difference = ours.logits(features) - theirs.decision_function(features.numpy())
    # Softmax does not see a constant added to all logits.
    difference -= difference.mean(1, keepdims=True)
    np.testing.assert_allclose(difference, 0, atol=2e-4)
    assert ours.converged


def test_the_gradient_is_that_of_the_objective(blobs):
    features, labels = blobs
    start = fit(features, labels, 5, 1.0, iterations=3)
    nearer = fit(features, labels, 5, 1.0, start=start, tolerance=1e-10)
    weights = torch.from_numpy(nearer.weights).requires_grad_()
    loss = torch.nn.functional.cross_entropy(
        features @ weights[:-1] + weights[-1], torch.from_numpy(labels)
    ) + weights[:-1].square().sum() / (2 * len(labels))
    (gradient,) = torch.autograd.grad(loss, weights)
    assert gradient.abs().max() < 1e-6


@pytest.mark.parametrize("peak", [-6.0, -0.875, 0.0, 2.5, 6.0])
def test_the_search_finds_the_peak_of_a_smooth_curve(peak):
    calls = []

    def score(c):
        calls.append(c)
        return -((np.log10(c) - peak) ** 2)

    best, tried = choose_c(score)
    assert np.log10(best) == pytest.approx(peak)
    assert len(calls) == len(set(calls)) == len(tried) <= 7 + 2 * 4
    assert all(1e-6 <= c <= 1e6 for c in calls)


def test_of_equally_good_penalties_the_strongest_is_chosen():
    assert choose_c(lambda c: 1.0)[0] == pytest.approx(1e-6)


def test_the_penalty_is_chosen_on_other_examples_than_it_is_fitted_to(blobs):
    features, labels = blobs
    noise = np.random.default_rng(1).permutation(labels)
    _, made = train(features, noise, 5, "top1")
    assert max(made["validation"].values()) < 0.5  # nothing to learn: far from a perfect fit
    probe, made = train(features, labels, 5, "top1")
    assert (made["train_examples"], made["width"]) == (300, 12)
    assert made["validation_examples"] == pytest.approx(60, abs=3)
    assert (probe.logits(features).argmax(1) == labels).mean() > 0.8


def test_one_picture_a_class_cannot_be_probed():
    with pytest.raises(ValueError, match="two training pictures"):
        train(torch.eye(3).double(), np.arange(3), 3, "top1")


@pytest.mark.parametrize("name", ["ViT-Test", "VMamba-Test", "SiMBA-Test"])
def test_features_are_those_before_the_projection(name):
    model, _, _ = create_model(name)
    pictures = torch.randn(2, 3, *model.visual.image_size)
    with torch.inference_mode():
        features = tower_features(model)(pictures)
        projected = features @ model.visual.head.proj.weight.T
        torch.testing.assert_close(projected, model.encode_image(pictures), atol=1e-5, rtol=1e-4)


def test_open_clips_own_tower_is_left_as_it_was():
    visual = {"image_size": 32, "layers": 1, "width": 64, "head_width": 32, "patch_size": 16}
    text = {"context_length": 8, "vocab_size": 600, "width": 32, "heads": 2, "layers": 1}
    model = open_clip.CLIP(24, visual, text).eval()
    pictures = torch.randn(2, 3, 32, 32)
    with torch.inference_mode():
        before = model.encode_image(pictures)
        features = tower_features(model)(pictures)
        assert features.shape == (2, 64)
        torch.testing.assert_close(features @ model.visual.proj, before)
        torch.testing.assert_close(model.encode_image(pictures), before, rtol=0, atol=0)


def coloured(count, seed):
    rng, samples, labels = np.random.default_rng(seed), [], []
    for i in range(count):
        label = i % 3
        pixels = rng.integers(0, 60, (16, 16, 3), dtype=np.uint8)
        pixels[..., label] += 190
        content = io.BytesIO()
        Image.fromarray(pixels).save(content, "PNG")
        files = {"png": content.getvalue(), "cls": str(label).encode()}
        samples.append((f"s{seed}{i}", files))
        labels.append(label)
    return samples, labels


def probe_task(folder, train_split=True):
    samples, labels = coloured(30, 1)
    write_tar(folder / "train.tar", coloured(60, 2)[0])
    split = TrainSplit(split="train", examples=60, sha256=sha256(folder / "train.tar"))
    return write_task(
        folder,
        samples,
        labels,
        name="colours",
        title="Colours",
        split="test",
        classes=[["red"], ["green"], ["blue"]],
        templates=["{}"],
        neighbours_reason="no corpus",
        train=split if train_split else None,
        licence="none",
        source="made up",
    )


@pytest.mark.parametrize("train_split", [True, False])
def test_a_run_learns_colours_or_says_why_not(tmp_path, train_split):
    torch.manual_seed(0)
    save_weights(tmp_path / "w.safetensors", create_model("ViT-Test")[0], {"model": "ViT-Test"})
    folder = tmp_path / "task"
    folder.mkdir()
    probe_task(folder, train_split)
    run(
        model_name="ViT-Test",
        seed=0,
        scale="demo",
        weights=tmp_path / "w.safetensors",
        tasks=[folder],
        results=[tmp_path / "r.json"],
        predictions=[tmp_path / "r.parquet"],
    )
    result = Result.read(tmp_path / "r.json")
    assert result.kind == "linear-probe"
    if train_split:
        assert result.value == 1.0  # even random features tell plain colours apart
        assert result.details["train_split"] == "train"
        assert Task.read(folder).sha256 == result.data_sha256
    else:
        assert (result.value, result.reason) == (None, "the task has no training pictures")
