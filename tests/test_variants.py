import pandas as pd
import pytest
import torch

from clip_mamba import create_model, style, tables
from clip_mamba.checkpoints import save_weights
from clip_mamba.results import Result
from clip_mamba.subject import open_subject
from clip_mamba.tables import cells
from clip_mamba.variants import architecture, named, variant


def test_names_and_their_parts():
    assert named("ViT-Nano", "") == "ViT-Nano"
    name = named("ViT-Nano", "as-published")
    assert (architecture(name), variant(name)) == ("ViT-Nano", "as-published")
    assert (architecture("ViT-Nano"), variant("ViT-Nano")) == ("ViT-Nano", "")


def test_a_variant_looks_like_its_model_and_stands_after_it():
    assert style.look("ViT-Nano@bare") == style.look("ViT-Nano")
    assert style.ordered(["VMamba-Nano", "ViT-Micro", "ViT-Nano@bare", "ViT-Nano"]) == [
        *["ViT-Nano", "ViT-Nano@bare", "ViT-Micro", "VMamba-Nano"]
    ]
    assert style.label("ViT-Nano@bare") == "ViT-Nano (bare)"
    assert cells.heading("ViT-Nano@bare_1") == r"\valueci{ViT-Nano}{bare\_1}"
    assert cells.heading("pixel-1nn") == "pixel 1-NN"


def test_figures_leave_variants_out():
    frame = pd.DataFrame({
        "model": ["ViT-Nano", "ViT-Nano@bare", "ViT-Nano"],
        "other": ["VMamba-Nano", "VMamba-Nano", "ViT-Nano@bare"],
    })  # fmt: skip
    assert list(tables.without_variants(frame).index) == [0]
    assert list(tables.without_variants(frame[["model"]]).index) == [0, 2]


def test_a_variant_is_evaluated_as_the_model_that_it_is(tmp_path):
    model, _, _ = create_model("ViT-Test")
    save_weights(tmp_path / "w.safetensors", model, {"model": "ViT-Test@bare"})
    subject = open_subject("ViT-Test@bare", 0, "demo", tmp_path / "w.safetensors", device="cpu")
    assert torch.equal(subject.model.logit_scale, model.logit_scale)
    result = Result(
        kind="zeroshot", task="t", split="s", examples=1, metric="top1", value=1.0,
        data_sha256="", **subject.fields(0.0),
    )  # fmt: skip
    assert result.model == "ViT-Test@bare"


@pytest.mark.parametrize("quantity", ["difference", "accuracy"])
def test_the_study_is_compared_without_variants(quantity, tmp_path):
    import synthetic_results as made

    results = [r for r in made.everything() if r.kind == "ood" and r.task == "contrast"]
    results += [
        r.model_copy(update={"model": "ViT-Nano@bare"}) for r in results if r.model == "ViT-Nano"
    ]
    paths = []
    for name in ("ViT-Nano", "ViT-Nano@bare", "VMamba-Nano"):
        path = tmp_path / f"{name}-0" / "contrast.csv"
        path.parent.mkdir()
        made.trials(name.partition("@")[0], 0, "contrast").to_csv(path, index=False)
        paths.append(path)
    frame = tables.ood(results, trials=tables.read_trials(paths))
    own = frame[frame["quantity"] == quantity]
    seen = {*own["model"], *(own["other"].dropna() if quantity == "difference" else ())}
    assert ("ViT-Nano@bare" in seen) is (quantity == "accuracy")
