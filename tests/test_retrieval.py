import io
import json

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from clip_mamba import create_model
from clip_mamba.checkpoints import save_weights
from clip_mamba.data.shards import to_json, write_tar
from clip_mamba.files import sha256
from clip_mamba.results import Result
from clip_mamba.retrieval import DIRECTIONS, RECALLS, ranks, recalls, run


def brute_force(images, texts, owner):
    """Rank by sorting whole rows of the matrix of similarities."""
    similar = (images @ texts.T).numpy()
    to_text = [
        next(place for place, j in enumerate(np.argsort(-row, kind="stable")) if owner[j] == i)
        for i, row in enumerate(similar)
    ]
    to_image = [
        list(np.argsort(-column, kind="stable")).index(owner[j])
        for j, column in enumerate(similar.T)
    ]
    return np.array(to_text), np.array(to_image)


@pytest.mark.parametrize("chunk", [1, 7, 1000])
def test_ranks_equal_a_brute_force(chunk):
    generator = torch.Generator().manual_seed(0)
    # Few distinct values: many exact ties.
    images = torch.randint(-1, 2, (30, 4), generator=generator).float()
    owner = torch.cat([torch.arange(30), torch.randint(30, (50,), generator=generator)])
    texts = images[owner] + torch.randint(-1, 2, (80, 4), generator=generator)
    found = ranks(images, texts, owner, chunk=chunk)
    for ours, theirs in zip(found, brute_force(images, texts, owner.numpy()), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_memory_is_bounded_by_the_chunk(monkeypatch):
    largest = 0
    original = torch.Tensor.__matmul__

    def watched(one, other):
        nonlocal largest
        out = original(one, other)
        largest = max(largest, out.numel())
        return out

    monkeypatch.setattr(torch.Tensor, "__matmul__", watched)
    owner = torch.arange(200).repeat_interleave(5)
    ranks(torch.randn(200, 8), torch.randn(1000, 8), owner, chunk=16)
    assert largest == 16 * 1000


def test_a_model_that_tells_nothing_apart_scores_chance():
    same = torch.ones(100, 4)
    to_text, to_image = ranks(same, same, torch.arange(100))
    assert np.mean(to_text < 1) == np.mean(to_image < 1) == 0.01


def test_recalls_count_ranks_below_k():
    found = recalls(np.array([0, 0, 3, 7, 30]), np.arange(5))
    assert [found[f"R@{k}"]["value"] for k in RECALLS] == [0.4, 0.6, 0.8]
    low, high = found["R@5"]["interval"]
    assert low < 0.6 < high


def test_every_image_needs_a_caption():
    with pytest.raises(ValueError, match="every image needs a caption"):
        ranks(torch.ones(3, 2), torch.ones(2, 2), torch.tensor([0, 1]))


def write_set(folder, captions):
    rng = np.random.default_rng(0)
    samples = []
    for i, own in enumerate(captions):
        content = io.BytesIO()
        Image.fromarray(rng.integers(0, 255, (20, 20, 3), dtype=np.uint8)).save(content, "PNG")
        facts = to_json({"captions": own})
        samples.append((f"p{i}", {"png": content.getvalue(), "json": facts}))
    write_tar(folder / "test.tar", samples)
    facts = {"name": "made-up", "title": "Made up", "split": "test"}
    facts["sha256"] = sha256(folder / "test.tar")
    (folder / "retrieval.json").write_text(json.dumps(facts))


@pytest.fixture
def model(tmp_path):
    torch.manual_seed(0)
    path = tmp_path / "w.safetensors"
    save_weights(path, create_model("ViT-Test")[0], {"model": "ViT-Test"})
    fields = {"model_name": "ViT-Test", "seed": 0, "scale": "demo", "weights": path}

    def measure(folder):
        run(
            **fields,
            tasks=[folder],
            results=[tmp_path / "r.json"],
            predictions=[tmp_path / "r.parquet"],
        )
        return Result.read(tmp_path / "r.json"), pd.read_parquet(tmp_path / "r.parquet")

    return measure


def test_a_run_keeps_the_rank_of_every_query(model, tmp_path):
    folder = tmp_path / "set"
    folder.mkdir()
    write_set(folder, [["a cat", "the cat"], ["a dog"], ["a bus", "bus", "a red bus"]])
    result, kept = model(folder)
    assert list(kept["image"]) == ["p0", "p1", "p2", "p0", "p0", "p1", "p2", "p2", "p2"]
    means = []
    for direction in DIRECTIONS:
        own = kept[kept["direction"] == direction]["rank"]
        for k in RECALLS:
            means.append((own < k).mean())
            assert result.details[direction][f"R@{k}"]["value"] == pytest.approx(means[-1])
    assert result.value == pytest.approx(np.mean(means))
    assert (result.examples, result.details["captions"]) == (3, 6)


def test_a_picture_without_a_caption_is_named(model, tmp_path):
    folder = tmp_path / "set"
    folder.mkdir()
    write_set(folder, [["a cat"], []])
    with pytest.raises(ValueError, match="sample p1 has no caption"):
        model(folder)


def test_an_absent_set_is_missing_with_its_reason(model, tmp_path):
    folder = tmp_path / "absent"
    folder.mkdir()
    (folder / "retrieval.json").write_text(json.dumps({"name": "absent", "missing": "gated"}))
    result, kept = model(folder)
    assert (result.value, result.reason, result.task, len(kept)) == (None, "gated", "absent", 0)
