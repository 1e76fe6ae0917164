import itertools

import numpy as np
import pandas as pd
import pytest
import synthetic_results as made

from clip_mamba import style, tables
from clip_mamba.tables import cells, seeds
from clip_mamba.tables.tex import environment, escape

TEMPLATES = "paper/tables"


@pytest.fixture(scope="module")
def results():
    return made.everything()


@pytest.fixture(scope="module")
def trials(tmp_path_factory):
    root = tmp_path_factory.mktemp("ood")
    paths = []
    for model, condition in itertools.product(list(made.MODELS)[:2], made.LEVELS):
        path = root / f"{model}-0" / f"{condition}.csv"
        path.parent.mkdir(exist_ok=True)
        made.trials(model, 0, condition).to_csv(path, index=False)
        paths.append(path)
    return tables.read_trials(paths)


def test_one_seed_keeps_its_own_interval():
    found = seeds.combine([0.5], [(0.4, 0.7)])
    assert (found.value, found.seeds) == (0.5, 1)
    assert (found.low, found.high) == pytest.approx((0.4, 0.7))


def test_seeds_widen_the_interval_by_their_spread():
    same = seeds.combine([0.5, 0.5], [(0.4, 0.6)] * 2)
    apart = seeds.combine([0.4, 0.6], [(0.3, 0.5), (0.5, 0.7)], bounds=(0, 1))
    assert (same.low, same.high) == pytest.approx((0.4, 0.6))
    assert apart.low < same.low and apart.high > same.high
    assert apart.low >= 0 and apart.high <= 1


def test_missing_values_say_why():
    found = seeds.combine([None, None], [None, None], ["no picture", "no picture"])
    assert (found.value, found.reason) == (None, "no picture")
    assert seeds.combine([], []).reason == "no result"


def test_zeroshot_is_tidy_and_complete(results):
    frame = tables.zeroshot(results)
    # A row per task, and for the models a mean.
    assert len(frame) == len(made.TASKS) * (len(made.MODELS) + 1) + len(made.MODELS)
    assert not frame.duplicated(["task", "model"]).any()
    measured = frame[frame["task"] != ""].dropna(subset="value")
    assert measured["value"].between(0, 1).all()
    assert (measured["low"] <= measured["value"]).all()
    row = frame[(frame["task"] == "mnist") & (frame["model"] == "ViT-Nano")].iloc[0]
    assert row["source"] == "demo/zeroshot/ViT-Nano-0/mnist.json"
    # The commonest class makes up 14 %, more than the tenth that guessing gives.
    assert row["trivial"] == pytest.approx(0.14)
    assert row["times_trivial"] == pytest.approx(row["value"] / 0.14)


def test_what_was_not_measured_is_shown_as_missing(results, tmp_path):
    models = [*made.MODELS, "SiMBA-Micro"]
    frame = tables.zeroshot(results, models=models, tasks=[*made.TASKS, "stl10"])
    assert frame[frame["model"] == "SiMBA-Micro"]["value"].isna().all()
    tables.write(
        frame, "zeroshot", tmp_path / "z.csv", tmp_path / "z.tex", scale="demo", templates=TEMPLATES
    )
    text = (tmp_path / "z.tex").read_text()
    assert "--" in text and "no result" in text and "no training sample" in text
    assert "nan" not in text.lower().replace("vmamba-nano", "").replace("-nano", "")


def test_csv_has_full_precision(results, tmp_path):
    frame = tables.zeroshot(results)
    path = tmp_path / "zeroshot.csv"
    tables.write(frame, "zeroshot", path, tmp_path / "z.tex", scale="demo", templates=TEMPLATES)
    again = pd.read_csv(path)
    np.testing.assert_array_equal(again["value"], frame["value"].astype(float))


def test_best_model_is_bold_but_never_the_baseline(results):
    shown = tables.CONTEXTS["zeroshot"](tables.zeroshot(results))
    for row in shown["rows"]:
        assert sum("textbf" in cell for cell in row["cells"]) == 1
        assert "textbf" not in row["baseline"]


def test_ood_rows(results):
    frame = tables.ood(results)
    headline = frame[(frame["quantity"] == "accuracy") & (frame["level"] == "")]
    assert len(headline) == len(made.MODELS) * len(made.LEVELS)
    mean = frame[frame["quantity"] == "mean-accuracy"].set_index("model")["value"]
    own = headline[headline["condition"] != "cue-conflict"].groupby("model")["value"].mean()
    for model in made.MODELS:
        assert mean[model] == pytest.approx(own[model])
    assert set(frame[frame["excluded"]]["level"]) == {"cr", "c100", "inf", "0-3-2"}


def test_mean_needs_every_condition(results):
    some = [r for r in results if (r.model, r.task) != ("ViT-Nano", "contrast")]
    frame = tables.ood(some)
    row = frame[(frame["quantity"] == "mean-accuracy") & (frame["model"] == "ViT-Nano")].iloc[0]
    assert pd.isna(row["value"]) and "contrast" in row["reason"]


def test_mean_interval_from_trials_is_narrower_than_the_bound(results, trials):
    def width(frame):
        own = frame[(frame["quantity"] == "mean-accuracy") & (frame["model"] == "ViT-Nano")]
        assert own["low"].item() < own["value"].item() < own["high"].item()
        return (own["high"] - own["low"]).item()

    exact = tables.ood(results, trials=trials)
    assert 0 < width(exact) < 0.2
    assert width(exact) != width(tables.ood(results))


def test_error_consistency_is_perfect_between_equal_models(trials):
    from clip_mamba.tables.robustness import error_consistency

    twin = {("a", 0): trials["ViT-Nano", 0], ("b", 0): trials["ViT-Nano", 0]}
    frame = error_consistency(twin, ["a", "b"], {})
    np.testing.assert_allclose(frame["value"], 1)
    assert set(frame["condition"]) == {*made.LEVELS, ""}
    assert (frame[["low", "high"]] == 1).all(axis=None)


def test_trials_must_lie_in_a_run(tmp_path):
    with pytest.raises(ValueError, match="<model>-<seed>"):
        tables.read_trials([tmp_path / "ViT" / "contrast.csv"])


def test_several_seeds_aggregate(tmp_path):
    results = made.everything(seeds=(0, 1, 2))
    for name, frame in {
        "models": tables.models(results),
        "zeroshot": tables.zeroshot(results),
        "ood": tables.ood(results),
        "hessian": tables.hessian(results),
    }.items():
        own = frame[frame["model"] == "ViT-Nano"]
        assert set(own["seeds"]) == {3}, name
        tex = tmp_path / f"{name}.tex"
        tables.write(frame, name, tmp_path / "t.csv", tex, scale="demo", templates=TEMPLATES)
        assert "3 seeds" in tex.read_text() or name in {"models", "ood"}


@pytest.mark.parametrize("name", ["models", "zeroshot", "ood", "hessian"])
def test_tables_without_any_result(name, tmp_path):
    frame = getattr(tables, name)([], models=["ViT-Nano"])
    tex = tmp_path / "t.tex"
    tables.write(frame, name, tmp_path / "t.csv", tex, scale="demo", templates=TEMPLATES)
    assert r"\begin{tabular}" in tex.read_text()


def test_unknown_table_names_the_nearest(tmp_path):
    with pytest.raises(ValueError, match="did you mean 'zeroshot'"):
        tables.write(pd.DataFrame(), "zero-shot", tmp_path / "a", tmp_path / "b", scale="demo")


def test_models_have_one_look_each():
    looks = [style.look(model) for model in made.MODELS]
    assert len({look.colour for look in looks}) == len(looks)
    assert len({look.marker for look in looks}) == len(looks)
    assert style.look("ResNet-50") == style.look("ResNet-50")
    assert style.ordered(["pixel-1nn", "VMamba-Micro", "VMamba-Nano", "ViT-Nano"]) == [
        "ViT-Nano",
        "VMamba-Nano",
        "VMamba-Micro",
        "pixel-1nn",
    ]


def test_tex_is_escaped_once():
    assert escape("50 % of a_b & {c}") == r"50 \% of a\_b \& \{c\}"
    made_env = environment(".")
    assert made_env.from_string("((( a )))").render(a="x_y") == r"x\_y"
    assert made_env.from_string("((( a | tex )))").render(a="x_y") == "x_y"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (123.4, "123"),
        (0.0512, "0.0512"),
        (-3.14159, "$-$3.14"),
        (1.5e7, r"$1.50\times 10^{7}$"),
        (0, "0"),
        (None, "--"),
        (float("nan"), "--"),
        (99_900, "99,900"),
    ],
)
def test_significant_digits(value, shown):
    assert cells.significant(value) == shown


def test_weights_from_elsewhere_have_a_size_and_a_reason(results):
    own = [r for r in results if r.kind in {"pretrain", "zeroshot"} and r.model == "ViT-Nano"]
    given = [
        r.model_copy(update={"model": "SiMBA-L", "seed": "released"})
        for r in own
        if r.kind == "zeroshot"
    ][:1]
    frame = tables.models([*own, *given]).set_index("model")
    assert list(frame.index) == ["ViT-Nano", "SiMBA-L"]
    assert frame.loc["SiMBA-L", "image_parameters"] == given[0].image_parameters
    assert frame.loc["SiMBA-L", "reason"] == (
        "the original's released weights, not pretrained here"
    )
    shown = tables.CONTEXTS["models"](frame.reset_index())
    assert any("SiMBA-L" in note for note in shown["notes"])
