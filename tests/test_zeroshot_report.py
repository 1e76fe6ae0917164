"""What the report says of zero-shot classification, on made-up results."""

import re
from pathlib import Path

import pandas as pd
import pytest
import synthetic_results as made

from clip_mamba import tables
from clip_mamba.report.gains import gains
from clip_mamba.report.zero_shot import champions, headline, probes, zero_shot
from clip_mamba.tables.tex import environment

#: Of the made-up results; a task's commonest class is 1.4 times chance.
NUMBERS = {
    "unseen-style-concept": {"ViT-Nano": 0.02, "VMamba-Nano": 0.03, "pixel-1nn": 0.1},
    "unseen-style-group": {"ViT-Nano": 0.3, "VMamba-Nano": 0.5, "pixel-1nn": 0.4},
    "mnist": {"ViT-Nano": 0.2, "VMamba-Nano": 0.12},
}


def _results(numbers=NUMBERS):
    found = []
    for result in made.everything():
        value = numbers.get(result.task, {}).get(result.model)
        if result.kind == "zeroshot" and value is not None:
            low, high = 0.9 * value, 1.1 * value
            found.append(result.model_copy(update={"value": value, "interval": (low, high)}))
    return found


@pytest.fixture(scope="module")
def frame(tmp_path_factory):
    results = _results()
    kept = made.predictions(results, tmp_path_factory.mktemp("kept"), examples=1000)
    return tables.zeroshot(results, predictions=kept)


def _section(said, demo=True, **study):
    """Fill the section's template, floats and all, without the rest of the report."""
    macros = (
        "((* macro show_table(name) *))[((( caller() | tex )))]((* endmacro *))"
        "((* macro show_figure(name, width='') *))[((( caller() | tex )))]((* endmacro *))"
    )
    source = Path("paper/sections/zeroshot.tex.j2").read_text()
    context = {"zero_shot": said, "probes": [], "seeds": ["0"], "demo": demo, "study": study}
    study.setdefault("retrieval", [])
    study.setdefault("linear_probe", [])
    text = environment("paper").from_string(macros + source).render(context)
    return re.sub(r"\s+", " ", text)


def test_models_are_held_against_the_commonest_class_and_the_pixels(frame):
    said = zero_shot(frame)
    assert (said["tasks"], said["averaged"], said["all_above"]) == (3, 3, "2 of the 3 tasks")
    # A seventh of MNIST's digits are alike: 0.12 is more than chance and less than that.
    assert said["some_above"] == ["on “MNIST” 1 of the 2 models"]
    assert [entry["factor"] for entry in said["factors"]] == ["0.9", "34"]
    assert said["pixels"] == {
        "answered": "2 of the 3 tasks",
        "tasks": 2,
        "ahead": 1,
        "ahead_on": "``Unseen style concept''",
        "passed": ["1 of the 2 models on “Unseen style group”"],
        "broad": "9",
    }


def test_the_differences_are_paired_and_told_by_their_sign(frame):
    said = zero_shot(frame)["gains"]
    assert (said["of"], said["above"], said["below"]) == (3, 1, 1)
    (gain,) = said["models"]
    assert (gain["model"], gain["other"], gain["verdict"]) == ("VMamba-Nano", "ViT-Nano", "ahead")
    assert gain["points"] == f"{100 * (0.01 + 0.2 - 0.08) / 3:.1f}"


def test_intervals_of_losses_are_told_without_their_sign():
    row = {"model": "a", "other": "b", "value": -0.02, "low": -0.03, "high": -0.01, "p": 0.01}
    (lost,) = gains(pd.DataFrame([row]), pd.DataFrame([row]))
    assert (lost["verdict"], lost["points"], lost["bounds"]) == ("behind", "2.0", "[1.0, 3.0]")
    assert (lost["signed"], lost["above"], lost["below"]) == ("$-$2.0", 0, 1)
    two = gains(pd.DataFrame([row, row | {"p": 0.04}]), pd.DataFrame([row]))
    assert [entry["p"] for entry in two] == ["$p=0.020$", "$p=0.040$"]
    three = gains(pd.DataFrame([row | {"p": 0.03}] * 3), pd.DataFrame([row]))
    assert {entry["verdict"] for entry in three} == {"level"}


def test_the_section_says_what_is_found(frame):
    text = _section(zero_shot(frame))
    for sentence in (
        "On 2 of the 3 tasks every model lies above the better of guessing and the commonest class "
        "with its whole interval; on ``MNIST'' 1 of the 2 models do.",
        "It is more accurate than every model on ``Unseen style concept''; models pass it only "
        "where classes are broad, at most 9 of them: 1 of the 2 models on ``Unseen style group''.",
        "Of the 3 differences by task 1 lies above zero with the whole interval and 1 below",
        "VMamba-Nano gains 4.3 points [",
    ):
        assert sentence in text
    assert "overlap" not in text and "missing" not in text


def test_the_section_without_a_baseline_in_pixels_and_with_many_tasks(tmp_path):
    results = made.paper_zero_shot(seeds=(0, 1))
    kept = made.predictions(results, tmp_path)
    own = [r for r in results if r.model in {"ViT-B-16", "VMamba-B", "SiMBA-L"}]
    said = zero_shot(tables.zeroshot(own, predictions=kept))
    assert said["pixels"] is None and said["gains"]["of"] == 2 * said["tasks"] == 50
    text = _section(said, demo=False)
    assert "pixel" not in text and "missing" not in text
    assert "of the 25 tasks every model lies above" in text
    # Too many exceptions are not listed.
    assert len(said["some_above"]) > 3 and said["some_above"][0] not in text
    assert "25 tasks" in text and "reproduction" in text


def test_the_section_without_results_or_predictions():
    assert zero_shot(tables.zeroshot([], models=["ViT-Nano"], tasks=["mnist"])) is None
    assert r"\missing{zero-shot results}" in _section(None)
    said = zero_shot(tables.zeroshot(_results()))
    assert said["gains"] is None and said["mean"]
    assert r"\missing{paired zero-shot differences}" in _section(said)


def test_one_model_on_one_task():
    said = zero_shot(tables.zeroshot(_results({"mnist": {"VMamba-Nano": 0.12}})))
    assert said["all_above"] is None
    text = _section(said)
    assert "On no task do all models lie above" in text and "with their whole intervals. " in text


def test_probes_are_told_with_the_commonest_class():
    frame = pd.DataFrame({
        "title": ["Group", "Group", "Other"], "value": [0.4, 0.5, None], "trivial": [0.3, 0.3, 0.2],
    })  # fmt: skip
    assert probes(frame) == [{"title": "Group", "range": "40.0 to 50.0", "trivial": "30.0"}]


def test_the_best_models_of_either_kind(frame):
    best = champions(frame[frame["task"] == "mnist"])
    assert (best["mamba"]["model"], best["vit"]["model"]) == ("VMamba-Nano", "ViT-Nano")
    assert best["vit"]["text"] == r"20.0\,\% [18.0, 22.0]"
    found = headline(frame)
    assert [entry["task"] for entry in found] == list(NUMBERS)
    assert found[0]["baseline"]["value"] == "10.0" and found[2]["baseline"] is None
