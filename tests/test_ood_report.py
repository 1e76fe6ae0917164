"""What the report's section on robustness says, at both scales and with anything missing."""

import re

import pandas as pd
import pytest

from clip_mamba import tables
from clip_mamba.report.robustness import levels, ood
from clip_mamba.report.words import listed, share, span
from clip_mamba.tables.robustness import COLUMNS
from clip_mamba.tables.tex import environment
from tests import synthetic_results as made

#: The report's own macros, in short.
SECTION = """
((* macro show_table(name) *))((( caller() | trim | tex )))((* endmacro *))
((* macro show_figure(name, width="") *))((( caller() | trim | tex )))((* endmacro *))
((* include "sections/robustness.tex.j2" *))
"""


def text(frame, demo=True, seeds=("0",)):
    names = {"ood": ood(frame), "levels": levels(frame), "demo": demo, "seeds": list(seeds)}
    names["study"] = {"ood": {"decision": "names" if demo else "imagenet"}}
    return environment("paper").from_string(SECTION).render(names)


def rows(*entries):
    return pd.DataFrame([{"level": "", **entry} for entry in entries], columns=list(COLUMNS))


def accuracies(condition, *lows, level="", chance=1 / 16):
    return [
        {"quantity": "accuracy", "condition": condition, "level": level, "model": f"m{i}",
         "value": low + 0.05, "low": low, "high": low + 0.1, "chance": chance, "excluded": False}
        for i, low in enumerate(lows)
    ]  # fmt: skip


def difference(model, value, half, p, condition=""):
    return {
        "quantity": "difference", "condition": condition, "model": model, "other": "ViT-Nano",
        "value": value, "low": value - half, "high": value + half, "p": p,
    }  # fmt: skip


@pytest.fixture(scope="module", params=[1, 2])
def frame(request):
    seeds = tuple(range(request.param))
    trials = {
        (model, seed): {c: made.trials(model, seed, c) for c in made.LEVELS}
        for model in made.MODELS
        for seed in seeds
    }
    return tables.ood(made.everything(seeds), trials=trials)


def test_the_section_at_both_scales(frame):
    demo, paper = text(frame), text(frame, demo=False, seeds=("0", "1"))
    for said in (demo, paper):
        assert "None" not in said and "nan" not in said.lower().replace("-nano", "")
        assert "decisions for shape or texture on 320 pictures" in said
        assert re.search(r"with a kappa of .?\d*.*\[.*\]", said)
        assert r"(\autoref{fig:consistency})" in said and r"\autoref{tab:levels}" in said
    assert "explains the levels" in demo and "Levels are spelt as in the benchmark" in paper
    assert "(not over training runs)" in paper and "(not over training runs)" not in demo
    assert "people" in paper.lower() and "people" not in demo.lower()


@pytest.mark.parametrize("demo", [True, False])
def test_the_section_without_any_result(demo):
    said = text(tables.ood([], models=["ViT-Nano"]), demo=demo)
    assert "shape biases" not in said.lower() and "autoref{tab:levels}" not in said
    assert "--" not in said.replace("model-vs-human", "")


def test_how_many_models_lie_above_chance():
    frame = rows(*accuracies("contrast", 0.07, 0.06, 0.05), *accuracies("high-pass", 0.1, 0.1, 0.1))
    floor = ood(frame)["floor"]
    assert [each["above"] for each in floor["claimed"]] == ["1 of the 3 models", "all 3 models"]
    assert floor["hardly"] == ["contrast"]
    assert floor["most"] == {"model": "m0", "shifts": 2}
    assert floor["least"] == {"model": "m1", "shifts": 1}
    said = text(frame)
    assert "so that contrast can hardly tell models apart." in said
    good = text(rows(*accuracies("contrast", 0.3, 0.3)))
    assert "On contrast the whole interval lies above chance for all 2 models." in good


def test_accuracy_before_any_distortion():
    frame = rows(
        *accuracies("colour", 0.1, 0.2, level="cr"), *accuracies("colour", 0.05, level="bw")
    )
    said = text(frame)
    assert r"reach 15.0 to 25.0\,\% on pictures in colour and 10.0\,\% on pictures in grey" in said
    assert r"where chance is 6.25\,\%" in said


def test_gains_are_adjusted_and_named():
    frame = rows(
        difference("SiMBA-Nano", 0.035, 0.02, 0.001),
        difference("SiMBA-Nano", 0.05, 0.02, 0.001, "contrast"),
        difference("SiMBA-Nano", 0.01, 0.02, 0.4, "edge"),
        difference("SiMBA-Nano", 0.09, 0.02, 0.4, "cue-conflict"),
        difference("VMamba-Nano", -0.04, 0.01, 0.01),
        difference("VMamba-Micro", -0.01, 0.009, 0.04),
        difference("VMamba-B", 0.01, 0.02, 0.06),
    )
    gains = {each["model"]: each for each in ood(frame)["gains"]}
    assert gains["SiMBA-Nano"]["p"] == "$p=0.004$"  # of four tests
    assert (gains["SiMBA-Nano"]["above"], gains["SiMBA-Nano"]["of"]) == (1, 2)
    found = {model: each["verdict"] for model, each in gains.items()}
    assert found == {
        "SiMBA-Nano": "ahead", "VMamba-Nano": "behind", "VMamba-Micro": "level",
        "VMamba-B": "level",
    }  # fmt: skip
    said = text(frame)
    assert "SiMBA-Nano gains 3.5 points [1.5, 5.5] on ViT-Nano ({}$p=0.004$;" in said
    assert "and VMamba-Nano loses 4.0 points [3.0, 5.0] to ViT-Nano" in said
    assert "VMamba-Micro ({}$-$1.0 [$-$1.9, $-$0.1], $p=0.080$) and VMamba-B" in said
    assert "do not differ significantly from the ViT of their size" in said
    assert "lies right of the line for SiMBA-Nano and left of the line for VMamba-Nano." in said
    alone = text(rows(difference("SiMBA-Nano", 0.0, 0.02, 0.9)))
    assert "does not differ significantly from the ViT of its size" in alone
    assert "adjusted" not in alone


def test_shape_bias_says_what_it_rests_on():
    def entry(quantity, model, value, low=None, high=None):
        return {"quantity": quantity, "condition": "cue-conflict", "model": model, "examples": 320,
                "value": value, "low": low, "high": high}  # fmt: skip

    frame = rows(
        entry("shape-bias", "a", 0.43, 0.3, 0.55),
        entry("shape-bias", "b", 0.68, 0.56, 0.78),
        entry("shape-decisions", "a", 70),
        entry("shape-decisions", "b", 48),
        entry("guessed-decisions", "", 40),
        entry("favourite-answer", "a", 0.3) | {"level": "knife"},
        entry("favourite-answer", "b", 0.2) | {"level": "dog"},
    )
    said = text(frame)
    assert r"Shape biases are 43 to 68\,\%" in said
    assert "rest on 48 to 70 decisions for shape or texture on 320 pictures" in said
    assert "where guessing gives about 40." in said
    assert "One half lies inside the interval of 1 of the 2 models." in said
    assert r"a answers ``knife'' on 30\,\% of them" in said


def test_who_errs_like_whom():
    def pair(one, two, kappa):
        return {"quantity": "error-consistency", "condition": "", "model": one, "other": two,
                "value": kappa, "low": kappa - 0.05, "high": kappa + 0.05}  # fmt: skip

    frame = rows(
        pair("ViT-Nano", "SiMBA-Nano", 0.4),
        pair("ViT-Nano", "VMamba-Nano", 0.02),
        pair("VMamba-Nano", "SiMBA-Nano", 0.1),
    )
    found = ood(frame)["kappa"]
    assert found["most"]["kappa"] == "0.40 [0.35, 0.45]"
    assert (found["least"]["one"], found["least"]["two"]) == ("ViT-Nano", "VMamba-Nano")
    assert found["akin"] == ["SiMBA-Nano"]
    said = text(frame)
    assert "0.02 to 0.40 for a Mamba model and a ViT and 0.10 for two Mamba models" in said
    assert "SiMBA-Nano errs more like a ViT than like any other Mamba model." in said
    near = rows(pair("ViT-Nano", "SiMBA-Nano", 0.14), pair("VMamba-Nano", "SiMBA-Nano", 0.1))
    assert ood(near)["kappa"]["akin"] == []
    # Where there is no other Mamba model, likeness to a ViT says nothing.
    assert ood(rows(pair("ViT-Nano", "SiMBA-Nano", 0.4)))["kappa"]["akin"] == []


def test_a_condition_stays_together(frame):
    found = levels(frame)["rows"]
    groups = pd.DataFrame(found).groupby("condition", sort=False)
    for _, own in groups:
        assert list(own["first"]) == [True] + [False] * (len(own) - 1)
    shown = [name for name, own in groups if own["last"].iloc[-1]]
    assert shown == list(made.LEVELS)
    assert sum(row["last"] for row in found) == len(made.LEVELS)


def test_words():
    assert listed([]) == ""
    assert (listed(["a_b"]), listed("ab"), listed("abc")) == (r"a\_b", "a and b", "a, b and c")
    assert [share(n, 3) for n in (0, 2, 3)] == ["none of the 3", "2 of the 3", "all 3"]
    assert (share(0, 1), share(1, 1)) == ("not the one", "the one")
    assert (span("3", "5"), span("3", "3")) == ("3 to 5", "3")
