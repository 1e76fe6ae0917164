"""The table of robustness where people saw the same pictures, and where they did not."""

import numpy as np
import pandas as pd
import pytest

from clip_mamba import figures, ood, tables
from clip_mamba.ood.benchmark import benchmark
from clip_mamba.ood.intervals import benchmark_intervals
from clip_mamba.tables.differences import matched, mean_over_sets_interval
from tests import synthetic_results as made

SETS = {"contrast": ["c100", "c30", "c10"], "edge": ["0"], "cue-conflict": ["0"]}
SIZES = {"ViT-B-16": 86, "ViT-L-16": 300, "VMamba-S": 49, "SiMBA-L": 250}


def answers(subject, condition, skill):
    """Return trials of a subject on a set; all subjects see the same pictures."""
    rng = np.random.default_rng([len(subject), int(100 * skill), len(condition)])
    rows = []
    for level in SETS[condition]:
        for i in range(24):
            category = made.CATEGORIES[i % 4]
            answer = category if rng.random() < skill else str(rng.choice(made.CATEGORIES))
            texture = made.CATEGORIES[(i + 1) % 4]
            picture = f"{category}{i}-{texture}{i}.png" if condition == "cue-conflict" else ""
            name = picture or f"{i:04d}_x_dnn_{level}_{category}_10_{category}{i}{level}.png"
            rows.append((subject, 1, i, np.nan, answer, category, level, name))
    table = pd.DataFrame(rows, columns=list(ood.trials.COLUMNS))
    return ood.trials.normalise(table, condition)


@pytest.fixture(scope="module")
def study():
    trials, results = {}, []
    for model, parameters in SIZES.items():
        skill = {"VMamba-S": 0.9, "ViT-B-16": 0.3}.get(model, 0.6)
        trials[model, 0] = {c: answers(f"{model}-0", c, skill) for c in SETS}
        for condition, table in trials[model, 0].items():
            results.append(
                ood.summarise(
                    table,
                    condition,
                    scale="paper",
                    model=model,
                    seed=0,
                    image_parameters=parameters,
                    text_parameters=1,
                    stimuli_tar=__file__,
                )  # fmt: skip
            )
    people = {f"subject-{n:02d}": 0.7 + 0.1 * n for n in (0, 1, 2)}
    humans = {c: pd.concat([answers(*p[:1], c, p[1]) for p in people.items()]) for c in SETS}
    return results, trials, humans


@pytest.fixture(scope="module")
def frame(study):
    results, trials, humans = study
    return tables.ood(results, trials=trials, conditions=list(SETS), humans=humans)


def rows(frame, quantity, **where):
    own = frame[frame["quantity"] == quantity]
    for name, value in where.items():
        own = own[own[name] == value]
    return own


def test_headline_numbers_are_the_benchmarks(study, frame):
    _, trials, humans = study
    together = {
        c: pd.concat([*(t[c] for t in trials.values()), humans[c]], ignore_index=True) for c in SETS
    }
    expected, bounds = benchmark(together), benchmark_intervals(together)
    for subject, name in [("humans", "people"), *((f"{m}-0", m) for m in SIZES)]:
        own = rows(frame, "benchmark", model=name).set_index("level")
        for metric in expected.columns[:4]:
            assert own.loc[metric, "value"] == pytest.approx(expected.loc[subject, metric])
        for metric in ("OOD accuracy", "observed consistency", "error consistency"):
            low, high = bounds[subject][metric]
            assert (own.loc[metric, "low"], own.loc[metric, "high"]) == pytest.approx((low, high))
            assert low < expected.loc[subject, metric] < high
    ranks = rows(frame, "benchmark", level="accuracy rank").set_index("model")["value"]
    assert ranks["VMamba-S"] == 1 and ranks["ViT-B-16"] == 4 and np.isnan(ranks["people"])


def test_people_have_a_mean_and_a_range(study, frame):
    _, _, humans = study
    own = rows(frame, "people-accuracy", condition="contrast", level="c30").iloc[0]
    table = humans["contrast"]
    table = table[table["condition"] == "c30"]
    right = (table["object_response"] == table["category"]).groupby(table["subj"]).mean()
    assert (own["value"], own["low"], own["high"]) == pytest.approx((
        right.mean(),
        right.min(),
        right.max(),
    ))
    counts = rows(frame, "people-shape-decisions", level="").iloc[0]
    cues = [ood.metrics.shape_bias(t) for _, t in humans["cue-conflict"].groupby("subj")]
    decided = [24 * (cue["shape"] + cue["texture"]) for cue in cues]
    assert counts["value"] == pytest.approx(np.mean(decided))
    assert (counts["low"], counts["high"]) == pytest.approx((min(decided), max(decided)))
    bias = rows(frame, "people-shape-bias", level="").iloc[0]["value"]
    assert bias == pytest.approx(ood.metrics.shape_bias(humans["cue-conflict"])["shape bias"])


def test_mamba_is_compared_with_the_vit_of_its_size(study, frame):
    _, trials, _ = study
    assert matched(SIZES) == {"VMamba-S": "ViT-B-16", "SiMBA-L": "ViT-L-16"}
    assert matched({"VMamba-S": 1}) == {}
    own = rows(frame, "difference", model="VMamba-S").set_index("condition")
    accuracy = [
        ood.metrics.accuracy(trials[model, 0]["edge"]) for model in ("VMamba-S", "ViT-B-16")
    ]
    assert own.loc["edge", "value"] == pytest.approx(accuracy[0] - accuracy[1])
    assert 0 < own.loc["edge", "low"] < own.loc["edge", "value"] < own.loc["edge", "high"]
    assert own.loc["", "value"] == pytest.approx(own.loc[["contrast", "edge"], "value"].mean())
    assert (
        own.loc["", "high"] - own.loc["", "low"] < own.loc["edge", "high"] - own.loc["edge", "low"]
    )


def test_the_interval_of_a_mean_over_sets_shrinks_with_objects():
    rng = np.random.default_rng(0)

    def width(objects):
        values = {name: rng.random(objects) for name in ("a", "b")}
        keys = [f"o{i}" for i in range(objects)]
        low, high = mean_over_sets_interval({n: (v, keys) for n, v in values.items()}, 0)
        return high - low

    # Uniform numbers, two sets: standard deviation sqrt(1 / 12 / 2) of an object's mean.
    assert width(400) == pytest.approx(2 * 1.96 * np.sqrt(1 / 24 / 400), rel=0.2)
    assert width(100) > 1.6 * width(400)


def test_other_pictures_are_reported_not_dropped(study, tmp_path):
    results, trials, humans = study
    lacking = {**humans, "edge": humans["edge"].iloc[1:]}
    frame = tables.ood(results, trials=trials, conditions=list(SETS), humans=lacking)
    own = rows(frame, "benchmark", model="ViT-B-16", level="error consistency").iloc[0]
    assert pd.isna(own["value"])
    assert "subject-00 saw 23 pictures" in own["reason"]
    kept = rows(frame, "benchmark", model="ViT-B-16", level="OOD accuracy").iloc[0]
    assert kept["value"] == pytest.approx(
        rows(frame, "accuracy", model="ViT-B-16", level="")["value"].mean()
    )
    tables.write(frame, "ood", tmp_path / "o.csv", tmp_path / "o.tex", scale="paper")
    assert "saw 23 pictures" in (tmp_path / "o.tex").read_text()


def test_without_people_the_table_says_so(study, tmp_path):
    results, trials, _ = study
    frame = tables.ood(results, trials=trials, conditions=list(SETS))
    shown = tables.CONTEXTS["ood"](frame)
    assert not shown["people"]
    assert shown["notes"] == []
    (left_out,) = shown["absent"]
    assert left_out.startswith("accuracy difference, observed consistency, error consistency, ")
    assert left_out.endswith("(no person has seen these pictures)")
    titles = [row["title"] for row in shown["summary"]]
    assert titles == [
        "mean of the 2 shifts",
        "mean, cue conflict included",
        "shape bias",
        "decisions for shape or texture",
        "rank by OOD accuracy",
    ]
    assert any("airplane 6" in line for line in shown["thin"])


def test_people_are_a_column_and_a_band(frame, tmp_path):
    shown = tables.CONTEXTS["ood"](frame)
    assert shown["people"] and all(len(row["cells"]) == 5 for row in shown["rows"])
    assert shown["notes"] == shown["absent"] == []
    curves = figures.ood_curves(frame)
    assert "people" in [text.get_text() for text in curves.legends[0].get_texts()]
    matrix = figures.consistency(frame).axes[0]
    assert [text.get_text() for text in matrix.get_yticklabels()][-1] == "people"
    for name in ("ood_difference", "shape_bias"):
        figures.write(getattr(figures, name)(frame), tmp_path / f"{name}.png")
    figures.write(figures.ood_condition(frame, "contrast"), tmp_path / "contrast.png")


def test_levels_are_in_order_whatever_the_order_of_trials():
    from clip_mamba.ood.summary import in_order

    assert in_order("contrast", ["c05", "c100", "c30", "c05"]) == ["c100", "c30", "c05"]
    assert in_order("low-pass", ["0", "2", "1"]) == ["0", "2", "1"]
