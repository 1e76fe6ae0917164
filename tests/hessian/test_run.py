"""One model from corpus to result file: the same pairs for all, pieces that survive a kill."""

import io
import json
from importlib import import_module

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from tiny_clips import pairs, tiny_clip

from clip_mamba import create_model, figures, tables
from clip_mamba.data.pairs import UnreadableError, open_pairs
from clip_mamba.data.shard_index import index_shards
from clip_mamba.data.shards import to_json, write_tar
from clip_mamba.hessian.batches import draw
from clip_mamba.hessian.findings import BatchFindings
from clip_mamba.hessian.parts import Parts
from clip_mamba.hessian.run import run
from clip_mamba.recipe import Recipe
from clip_mamba.results import Result

#: The module: the package exports a function of that name.
module = import_module("clip_mamba.hessian.measure")
MODELS = ("ViT-Test", "VMamba-Test")
TINY = {
    "recipe": {},
    "batches": 2,
    "batch_size": 4,
    "sweep": [2, 8],
    "blocks": 1,
    "surface": {"line": 5, "plane": 3},
    "settings": {"k": 2, "steps": 8, "max_products": 12, "probes": 2},
}


def picture(seed):
    pixels = np.random.default_rng(seed).integers(0, 255, (20, 20, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "png")
    return file.getvalue()


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    folder = tmp_path_factory.mktemp("corpus")
    samples = [
        (f"{i:03d}", {"png": picture(i), "json": to_json({"captions": [f"a {i}", f"{i}!"]})})
        for i in range(12)
    ]
    write_tar(folder / "0.tar", samples)
    index_shards([folder / "0.tar"], folder / "index.json", kind="test")
    return folder / "index.json"


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    folder = tmp_path_factory.mktemp("weights")
    for name in MODELS:
        torch.manual_seed(0)
        save_file(create_model(name)[0].state_dict(), folder / f"{name}.safetensors")
    return folder


def measured(name, index, weights, folder, pieces, **changes):
    given = {**TINY, "code": "1", **changes}
    file = weights / f"{name}.safetensors"
    target = folder / f"{name}.json"
    run(model_name=name, seed=0, scale="test", weights=file, index=index, result=target,
        folder=pieces, **given)  # fmt: skip
    return Result.read(target)


@pytest.fixture(scope="module")
def results(index, weights, tmp_path_factory):
    folder = tmp_path_factory.mktemp("results")
    return {n: measured(n, index, weights, folder, folder / n) for n in MODELS}


def test_every_model_gets_the_same_pairs(results):
    drawn = [result.details["pairs"] for result in results.values()]
    assert drawn[0] == drawn[1]
    assert len(drawn[0]["numbers"]) == 8
    assert len({result.data_sha256 for result in results.values()}) == 1


def test_the_sweep_cuts_the_same_pairs(results):
    for result in results.values():
        sweep = {s["batch_size"]: s for s in result.details["sweep"]}
        assert {size: s["batches"] for size, s in sweep.items()} == {2: 4, 8: 1}
        # More negatives, higher loss: log(batch size) for features that know nothing.
        losses = [np.mean(sweep[2]["losses"]), np.mean(result.details["losses"])]
        assert losses[0] < losses[1] < np.mean(sweep[8]["losses"])
        assert all(len(s["figures"]["trace"]["per_batch"]) == s["batches"] for s in sweep.values())


def test_blocks_interlace_with_the_whole(results):
    """No principal submatrix has a larger top eigenvalue, nor a smaller bottom one."""
    for name, result in results.items():
        blocks, ends = result.details["blocks"], result.details["eigenvalues"]
        assert {"image", "text", "stage-0", "head"} <= set(blocks)
        assert ("scan" in blocks) == (name == "VMamba-Test")
        for block in blocks.values():
            assert block["largest"][0][0] <= ends["largest"][0][0] * 1.02
            assert block["smallest"][0][0] >= ends["smallest"][0][0] * 1.02
        shares = ends["shares"]
        assert {name: np.shape(s) for name, s in shares.items()} == dict.fromkeys(blocks, (2, 4))
        towers = np.array(shares["image"]) + np.array(shares["text"])
        assert (towers <= 1 + 1e-3).all()


def test_surfaces_have_the_measured_curvature(results):
    for result in results.values():
        walks, ends = result.details["surfaces"], result.details["eigenvalues"]
        loss = result.details["losses"][0]
        for walk in walks.values():
            assert np.shape(walk["lines"]) == (2, 5)
            assert np.shape(walk["plane"]) == (3, 3)
            middle = [walk["plane"][1][1], *(line[2] for line in walk["lines"])]
            np.testing.assert_allclose(middle, loss, rtol=1e-5)
        reach = walks["eigenvectors"]["steps"][-1]
        assert reach == pytest.approx(np.sqrt(2 / ends["largest"][0][0]))


def test_finished_pieces_are_not_measured_again(index, weights, results, tmp_path, monkeypatch):
    """A job that dies after some mini-batches goes on, and ends with the same result."""
    real, calls = module.measure_batch, []

    def dying(*args, **kwargs):
        calls.append(args[4])
        if len(calls) == 3:
            raise KeyboardInterrupt
        return real(*args, **kwargs)

    monkeypatch.setattr(module, "measure_batch", dying)
    with pytest.raises(KeyboardInterrupt):
        measured("ViT-Test", index, weights, tmp_path, tmp_path / "pieces")
    kept = sorted(path.name for path in (tmp_path / "pieces").iterdir())
    assert kept == ["batch-000.json", "batch-001.json", "batch-ends.safetensors"]
    monkeypatch.setattr(module, "measure_batch", real)
    resumed = measured("ViT-Test", index, weights, tmp_path, tmp_path / "pieces")
    whole = results["ViT-Test"]
    for key in ("eigenvalues", "density", "losses", "figures", "pairs"):
        assert resumed.details[key] == whole.details[key], key
    assert (
        resumed.details["surfaces"]["random"]["plane"]
        == (whole.details["surfaces"]["random"]["plane"])
    )
    monkeypatch.setattr(module, "measure_batch", None)  # nothing is left to measure
    again = measured("ViT-Test", index, weights, tmp_path, tmp_path / "pieces")
    assert again.details["surfaces"] == resumed.details["surfaces"]
    assert again.details["sweep"] == resumed.details["sweep"]
    with pytest.raises(TypeError, match="NoneType"):  # other code: made anew
        measured("ViT-Test", index, weights, tmp_path, tmp_path / "pieces", code="2")


def test_pieces_of_something_else_or_damaged_ones_are_made_anew(tmp_path):
    made = []

    def compute():
        made.append(1)
        return {"value": 0.1, "of": [1, 2]}

    parts = Parts(tmp_path, {"weights": "a"})
    assert parts("x", compute) == parts("x", compute) == {"value": 0.1, "of": [1, 2]}
    assert len(made) == 1
    assert Parts(tmp_path, {"weights": "b"})("x", compute) and len(made) == 2
    (tmp_path / "x.json").write_text("{")
    assert parts("x", compute) and len(made) == 3
    assert Parts(None, {})("x", compute) and len(made) == 4
    parts.save_tensor("t", torch.arange(3.0))
    assert parts.load_tensor("t").tolist() == [0, 1, 2]


def test_findings_survive_json(results, tmp_path):
    bench = module.Bench.of(tiny_clip("vit", torch.float32), progress=False)
    settings = module.Settings(k=2, steps=6, max_products=8, probes=1)
    found = bench.findings("batch", [pairs(4, torch.float32)], settings)[0]
    again = BatchFindings.from_json(json.loads(json.dumps(found.to_json())))
    assert again.to_json() == found.to_json()
    np.testing.assert_array_equal(again.ritz.largest, found.ritz.largest)


def test_drawn_pairs_are_a_prefix_and_skip_what_cannot_be_read(index):
    corpus, augment = open_pairs(index), Recipe().augmentation.transform(16)
    few, many = draw(corpus, 3, augment), draw(corpus, 8, augment)
    assert many.numbers[:3] == few.numbers and many.captions[:3] == few.captions
    assert torch.equal(many.images[:3], few.images)
    assert draw(corpus, 3, augment).digest == few.digest != many.digest
    assert draw(corpus, 3, augment, seed=1).numbers != few.numbers

    class Damaged(type(corpus)):
        def image(self, i):
            if i == few.numbers[0]:
                raise UnreadableError("no picture")
            return super().image(i)

    damaged = open_pairs(index)
    damaged.__class__ = Damaged
    assert draw(damaged, 2, augment).numbers == few.numbers[1:]
    with pytest.raises(ValueError, match="11 readable pairs, but .* take 12"):
        draw(damaged, 12, augment)


@pytest.mark.parametrize("name", ["size", "sweep", "blocks", "surfaces"])
def test_figures_show_the_results(name, results, tmp_path):
    draw_figure = getattr(figures, f"hessian_{name}")
    figure = draw_figure(list(results.values()))
    assert len(figure.axes) == {"size": 3, "sweep": 2, "blocks": 2, "surfaces": 10}[name]
    assert figure.get_size_inches()[0] <= 6.51
    figures.write(figure, tmp_path / "f.pdf", tmp_path / "f.png")
    empty = draw_figure([])
    assert empty.axes[0].texts
    figures.write(empty, tmp_path / "e.png")


def test_the_table_of_blocks(results, tmp_path):
    frame = tables.hessian_blocks(list(results.values()), models=[*MODELS, "SiMBA-Test"])
    of = frame.set_index(["model", "task", "quantity"])["value"]
    whole = results["VMamba-Test"].details
    assert of["VMamba-Test", "scan", "lambda_max"] == pytest.approx(
        whole["blocks"]["scan"]["largest"][0][0]
    )
    assert np.isnan(of["ViT-Test", "scan", "lambda_max"])
    shares = np.array(whole["eigenvalues"]["shares"]["image"])
    assert of["VMamba-Test", "image", "top_share"] == pytest.approx(shares[:, 0].mean())
    tex = tmp_path / "t.tex"
    tables.write(frame, "hessian_blocks", tmp_path / "t.csv", tex, scale="test")
    assert "VMamba-Test & " in tex.read_text() and "SiMBA-Test & --" in tex.read_text()
    nothing = tables.hessian_blocks([], models=["ViT-Nano"])
    tables.write(nothing, "hessian_blocks", tmp_path / "n.csv", tex, scale="test")
    assert "nothing was measured" in tex.read_text()
