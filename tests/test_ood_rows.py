"""Rows of the table of robustness beyond accuracies: kappas, decisions, answers, differences."""

import numpy as np
import pandas as pd
import pytest

from clip_mamba import ood, tables
from clip_mamba.tables.answers import favourite_rows
from clip_mamba.tables.consistency import error_consistency
from clip_mamba.tables.cues import guessed_rows, shape_rows
from clip_mamba.tables.differences import difference_rows
from tests import synthetic_results as made

SIZES = {"ViT-Nano": 200, "SiMBA-Nano": 190}


def trials(right, objects):
    """Return trials of which some are right, each of an object of ours."""
    rows = [
        ("m", 1, i, np.nan, "dog" if ok else "cat", "dog", "c05", f"{i}_a_b_c05_dog_10_dog{o}v0")
        for i, (ok, o) in enumerate(zip(right, objects, strict=True))
    ]
    return pd.DataFrame(rows, columns=list(ood.trials.COLUMNS))


def answers(rng, n, share=0.5):
    return rng.random(n) < share


@pytest.fixture
def pair():
    """Two models whose errors have nothing to do with each other, on two sets."""
    rng, n = np.random.default_rng(0), 200
    return {
        (model, 0): {name: trials(answers(rng, n), range(n)) for name in ("contrast", "high-pass")}
        for model in ("a", "b")
    }


def mean(frame):
    return frame[frame["condition"] == ""].iloc[0]


def test_kappas_are_those_of_the_benchmark_with_intervals(pair):
    frame = error_consistency(pair, ["a", "b"], {}).set_index("condition")
    for condition, value in frame["value"].drop("").items():
        found = ood.metrics.consistency(pair["a", 0][condition], pair["b", 0][condition])
        assert value == pytest.approx(found["error consistency"])
    assert frame["value"][""] == pytest.approx(frame["value"].drop("").mean())
    assert (frame["low"] < frame["value"]).all() and (frame["value"] < frame["high"]).all()
    assert frame["low"][""] < 0 < frame["high"][""]
    # Of independent errors kappa varies by about 1 / sqrt(n).
    assert frame["high"]["contrast"] - frame["low"]["contrast"] == pytest.approx(
        2 * 1.96 / np.sqrt(200), rel=0.15
    )


def test_pictures_of_one_object_are_drawn_at_once(pair):
    wide = {
        run: {
            name: trials(np.repeat(ood.trials.correct(own), 9), np.repeat(range(200), 9))
            for name, own in sets.items()
        }
        for run, sets in pair.items()
    }
    once, often = (mean(error_consistency(made, ["a", "b"], {})) for made in (pair, wide))
    assert often["value"] == pytest.approx(once["value"])
    assert often["high"] - often["low"] == pytest.approx(once["high"] - once["low"], rel=0.01)


def test_cue_conflicts_and_left_out_levels_do_not_enter_the_mean_kappa(pair):
    rng = np.random.default_rng(1)
    more = {
        run: {**sets, "cue-conflict": trials(answers(rng, 50), range(50))}
        for run, sets in pair.items()
    }
    frames = [error_consistency(made, ["a", "b"], {}) for made in (pair, more)]
    assert mean(frames[0])["value"] == mean(frames[1])["value"]
    assert "cue-conflict" in set(frames[1]["condition"])
    without = error_consistency(pair, ["a", "b"], {"contrast": ["c05"]})  # its only level here
    assert set(without["condition"]) == {"high-pass", ""}


def test_kappas_of_several_seeds_are_means(pair):
    both = {**pair, ("b", 1): pair["a", 0]}
    one, several = (mean(error_consistency(made, ["a", "b"], {})) for made in (pair, both))
    assert several["value"] == pytest.approx((one["value"] + 1) / 2)
    assert several["low"] > one["high"]


def test_decisions_are_counted():
    result = made.out_of_distribution("ViT-Nano", 0, "cue-conflict", np.random.default_rng(0))
    rows = pd.DataFrame(shape_rows("ViT-Nano", [result, result])).set_index(["quantity", "level"])
    # A fifth of 320 pictures; a tenth of the eighty of a category.
    assert rows.loc[("shape-decisions", ""), "value"] == 64
    assert rows.loc[("shape-decisions", "airplane"), "value"] == 8
    assert rows.loc[("shape-decisions", ""), "seeds"] == 2
    bias = result.details["cue_conflict"]["shape_bias"]
    assert rows.loc[("shape-bias", ""), "value"] == pytest.approx(bias)


def test_without_results_there_are_no_decisions():
    (bias, decisions) = shape_rows("ViT-Nano", [])
    assert bias["value"] is decisions["value"] is None
    assert decisions["reason"] == "not measured"


def test_guessing_decides_for_either_cue_where_they_differ():
    names = ["dog1-cat1.png"] * 30 + ["dog1-dog2.png"] * 10
    shown = pd.DataFrame({"imagename": names, "category": "dog"})
    (row,) = guessed_rows({("m", 0): {"cue-conflict": shown}}, 1 / 16)
    assert row["value"] == pytest.approx(30 * 2 / 16)
    assert guessed_rows({}, 1 / 16) == guessed_rows({("m", 0): {}}, 1 / 16) == []


def test_the_favourite_answer_of_all_seeds():
    first, second = trials([1, 1, 0], range(3)), trials([0, 0, 0], range(3))
    (row,) = favourite_rows(
        {("m", 0): {"contrast": first}, ("m", 1): {"contrast": second}}, ["m"], {}
    )
    assert (row["level"], row["value"], row["seeds"]) == ("cat", pytest.approx(4 / 6), 2)
    tie = {("m", 0): {"contrast": trials([1, 0], range(2))}}
    assert favourite_rows(tie, ["m"], {})[0]["level"] == "cat"
    assert favourite_rows(tie, ["m"], {"contrast": ["c05"]}) == []


def _compared(gain, seeds=1, n=300):
    rng = np.random.default_rng(3)
    sets = ("contrast", "edge")
    runs = {}
    for model, share in (("ViT-Nano", 0.4), ("SiMBA-Nano", 0.4 + gain)):
        for seed in range(seeds):
            runs[model, seed] = {name: trials(answers(rng, n, share), range(n)) for name in sets}
    rows = pd.DataFrame(difference_rows(runs, SIZES, {})).set_index("condition")
    assert (rows["model"] == "SiMBA-Nano").all() and (rows["other"] == "ViT-Nano").all()
    return rows


@pytest.mark.parametrize("seeds", [1, 3])
def test_the_mean_of_the_shifts_is_tested(seeds):
    better, equal = _compared(0.2, seeds), _compared(0.0, seeds)
    assert better["p"][""] < 0.01 and better["low"][""] > 0
    assert equal["p"][""] > 0.05 and equal["low"][""] < 0 < equal["high"][""]
    for rows in (better, equal):
        assert rows["value"][""] == pytest.approx(rows["value"].drop("").mean())
        assert rows["seeds"][""] == seeds


def test_the_table_keeps_p_and_intervals(tmp_path):
    results = made.everything()
    tried = {(m, 0): {c: made.trials(m, 0, c) for c in made.LEVELS} for m in made.MODELS}
    frame = tables.ood(results, trials=tried)
    tables.write(frame, "ood", tmp_path / "o.csv", tmp_path / "o.tex", scale="demo")
    again = tables.read_csv(tmp_path / "o.csv")
    for quantity in ("difference", "error-consistency"):
        own = again[again["quantity"] == quantity]
        assert len(own) and own[["low", "high"]].notna().all(axis=None)
    assert again.loc[again["quantity"] == "difference", "p"].between(0, 1).all()
    text = (tmp_path / "o.tex").read_text()
    assert r"decisions for shape or texture & 64 & 64 & 64 & 64 & 64 \\" in text
    assert "of which guessing gives about 6" in text
    assert "drawn for all conditions at once" in text


def test_a_row_without_any_value_is_left_out(tmp_path):
    results = made.everything()
    frame = tables.ood(results, conditions=[*made.LEVELS, "edge"])
    shown = tables.CONTEXTS["ood"](frame)
    assert "edge" not in [row["title"] for row in shown["rows"]]
    assert any("edge" in note and "(no result)" in note for note in shown["absent"])
    some = [r for r in results if (r.model, r.task) != ("ViT-Nano", "contrast")]
    shown = tables.CONTEXTS["ood"](tables.ood(some))
    assert "contrast" in [row["title"] for row in shown["rows"]]
    assert shown["notes"][0] == "ViT-Nano on contrast (no result)"
