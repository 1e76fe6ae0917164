import numpy as np
import pandas as pd
import pytest
from scipy import stats

from clip_mamba import claims
from clip_mamba.claims.evidence import Evidence, Scores
from clip_mamba.claims.paired import holm, mean_over_tasks, per_batch
from clip_mamba.claims.verdicts import judge, judge_parity

SIZES = {"ViT-B-16": 86, "ViT-L-16": 303, "VMamba-B": 88, "SiMBA-L": 66}


def scores(rates, n=400, seed=0, units=None, metric="top1"):
    rng = np.random.default_rng(seed)
    easy = rng.random(n)
    drawn = {m: np.atleast_2d((easy < rate).astype(float)) for m, rate in rates.items()}
    return Scores(drawn, units, np.arange(n) % 4, metric)


def evidence(zero_shot, contrast, curvature):
    return Evidence(
        SIZES,
        {f"task-{i}": scores(zero_shot, seed=i) for i in range(3)},
        {"contrast": scores(contrast, seed=9)},
        {"contrast": set(SIZES)},
        {"lambda_max": {m: np.array([values]) for m, values in curvature.items()}},
    )


EQUAL = dict.fromkeys(SIZES, 0.4)
BATCHES = {
    "ViT-B-16": [10.0, 11.0, 12.0, 9.0],
    "ViT-L-16": [10.0, 11.0, 12.0, 9.0],
    "VMamba-B": [30.0, 31.5, 32.0, 29.0],
    "SiMBA-L": [2.0, 3.5, 4.0, 1.0],
}


def row(frame, claim, model):
    (found,) = frame[(frame["claim"] == claim) & (frame["model"] == model)].to_dict("records")
    return found


def test_each_claim_is_judged_against_the_right_vit():
    better = {**EQUAL, "VMamba-B": 0.6, "SiMBA-L": 0.2}
    frame = claims.evaluate(evidence(EQUAL, better, BATCHES))
    parity = row(frame, "efficiency", "SiMBA-L")
    assert (parity["other"], parity["verdict"]) == ("ViT-L-16", claims.SUPPORTED)
    assert parity["value"] == 0 and parity["margin"] > 0
    # 88 of 303 million is more than a quarter.
    assert row(frame, "efficiency", "VMamba-B")["verdict"] == "not tested"
    assert row(frame, "robustness", "VMamba-B")["other"] == "ViT-B-16"
    assert row(frame, "robustness", "VMamba-B")["verdict"] == claims.SUPPORTED
    assert row(frame, "robustness", "SiMBA-L")["verdict"] == claims.CONTRADICTED
    assert row(frame, "sharpness", "VMamba-B")["verdict"] == claims.SUPPORTED
    assert row(frame, "sharpness", "VMamba-B")["value"] == pytest.approx(2.94, abs=0.02)
    assert row(frame, "sharpness", "SiMBA-L")["verdict"] == claims.CONTRADICTED
    verdicts = {s.claim: s.verdict for s in claims.summary(frame)}
    assert verdicts == {
        "efficiency": claims.SUPPORTED,
        "robustness": claims.MIXED,
        "sharpness": claims.MIXED,
        "non-convexity": claims.UNTESTED,
    }


def test_pairs_that_cannot_tell_are_not_judged_and_cost_the_others_nothing():
    better = {**EQUAL, "VMamba-B": 0.46}
    frame = claims.evaluate(evidence(EQUAL, better, BATCHES))
    untested = row(frame, "efficiency", "VMamba-B")
    assert np.isnan(untested["p_holm"])
    judged = frame[frame["p_holm"].notna()]
    assert len(judged) == len(frame) - 1
    assert judged["p_holm"].tolist() == pytest.approx(holm(judged["p"].tolist()))
    guessing = evidence(EQUAL, better, BATCHES)
    guessing.above_chance["contrast"] = {"ViT-L-16"}
    frame = claims.evaluate(guessing)
    assert set(frame[frame["claim"] == "robustness"]["verdict"]) == {claims.AT_CHANCE}
    (said,) = [s for s in claims.summary(frame) if s.claim == "robustness"]
    assert (said.verdict, said.total, said.unjudged) == (claims.AT_CHANCE, 0, {"at chance": 2})
    guessing.above_chance["contrast"] = {"VMamba-B"}
    frame = claims.evaluate(guessing)
    assert row(frame, "robustness", "VMamba-B")["verdict"] != claims.AT_CHANCE
    assert row(frame, "robustness", "SiMBA-L")["verdict"] == claims.AT_CHANCE


def test_one_pair_of_many_does_not_support_a_claim():
    frame = pd.DataFrame({
        "comparison": "fair", "claim": "robustness", "null": 0.0,
        "value": [1.0, 1.0, -1.0, 1.0],
        "verdict": [claims.SUPPORTED, *[claims.INCONCLUSIVE] * 3],
    })  # fmt: skip
    (found,) = [s for s in claims.summary(frame) if s.claim == "robustness"]
    assert (found.verdict, found.supported, found.toward) == (claims.INCONCLUSIVE, 1, 3)
    frame["verdict"] = [*[claims.SUPPORTED] * 3, claims.INCONCLUSIVE]
    assert claims.summary(frame)[1].verdict == claims.SUPPORTED


def test_least_eigenvalues_are_compared_by_size_and_masses_by_difference():
    found = evidence(EQUAL, EQUAL, BATCHES)
    clear = {**BATCHES, "SiMBA-L": [2.0, 2.2, 2.4, 1.8]}
    found.curvature["lambda_min"] = {m: -np.array([values]) for m, values in clear.items()}
    found.curvature["negative_mass"] = {
        m: np.array([[0.1, 0.12, 0.11, 0.1]]) * (2 if m == "SiMBA-L" else 1) for m in SIZES
    }
    frame = claims.evaluate(found)
    own = frame[(frame["claim"] == "non-convexity") & (frame["model"] == "SiMBA-L")]
    smallest, mass = own.to_dict("records")
    assert (smallest["null"], smallest["verdict"]) == (1, claims.CONTRADICTED)
    assert mass["null"] == 0 and mass["value"] == pytest.approx(0.1075)
    assert mass["verdict"] == claims.SUPPORTED


def test_a_variant_is_compared_beside_the_studys_own_recipe():
    sizes = {**SIZES, "ViT-B-16@as-published": 86}
    worse = {**dict.fromkeys(sizes, 0.6), "ViT-B-16@as-published": 0.2}
    batches = {**BATCHES, "ViT-B-16@as-published": [1.0, 2.0, 3.0, 0.5]}

    def found(models):
        return Evidence(
            {model: sizes[model] for model in models},
            {"task": scores(dict.fromkeys(models, 0.4))},
            {"contrast": scores({model: worse[model] for model in models}, seed=9)},
            {"contrast": set(models)},
            {"lambda_max": {model: np.array([batches[model]]) for model in models}},
        )

    frame = claims.evaluate(found(sizes), "fair")
    own, variant = (frame[frame["comparison"] == name] for name in ("fair", "as-published"))
    # What the study itself finds is the same with and without a variant.
    pd.testing.assert_frame_equal(own, claims.evaluate(found(SIZES), "fair"))
    # The largest ViT has no variant: the comparison with it is not repeated.
    assert set(variant["claim"]) == {"robustness", "sharpness"}
    assert set(variant["other"]) == {"ViT-B-16@as-published"}
    assert set(variant[variant["claim"] == "robustness"]["verdict"]) == {claims.SUPPORTED}
    assert set(own[own["claim"] == "robustness"]["verdict"]) == {claims.INCONCLUSIVE}
    summaries = [(s.comparison, s.claim) for s in claims.summary(frame)]
    assert summaries[:4] == [("fair", claim) for claim in claims.STATEMENTS]
    assert summaries[4:] == [("as-published", c) for c in ("robustness", "sharpness")]


def test_a_model_far_behind_contradicts_parity():
    behind = {**EQUAL, "SiMBA-L": 0.2}
    frame = claims.evaluate(evidence(behind, EQUAL, BATCHES))
    assert row(frame, "efficiency", "SiMBA-L")["verdict"] == claims.CONTRADICTED


def test_equal_models_are_inconclusive_and_nothing_is_made_up():
    frame = claims.evaluate(evidence(EQUAL, EQUAL, {}))
    assert row(frame, "robustness", "VMamba-B")["verdict"] == claims.INCONCLUSIVE
    assert set(frame["claim"]) == {"efficiency", "robustness"}
    assert len(claims.evaluate(Evidence({}, {}, {}, {}, {}))) == 0


def test_the_average_over_tasks_of_the_same_pictures_is_resampled_together():
    units = np.repeat(np.arange(100), 4).astype(str)
    one = scores({"a": 0.5, "b": 0.3}, units=units)
    together, _ = mean_over_tasks([one, one], "a", "b")
    alone, margin = mean_over_tasks([one], "a", "b")
    # The same task twice is no further evidence.
    assert together.high - together.low == pytest.approx(alone.high - alone.low, rel=0.1)
    other = scores({"a": 0.5, "b": 0.3}, seed=1)
    apart, _ = mean_over_tasks([one, other], "a", "b")
    assert apart.high - apart.low < 0.85 * (alone.high - alone.low)
    assert 0 < margin < 0.1


def test_the_batches_are_tested_in_pairs_as_scipy_does():
    rng = np.random.default_rng(0)
    first, second = rng.normal(3, 1, 6), rng.normal(2, 1, 6)
    found = per_batch(first[None], second[None])
    expected = stats.ttest_rel(first, second)
    low, high = expected.confidence_interval()
    assert (found.p, found.low, found.high) == pytest.approx((expected.pvalue, low, high))
    with pytest.raises(ValueError, match="same two or more mini-batches"):
        per_batch(first[None], second[None, :4])


def test_seeds_widen_the_interval():
    rng = np.random.default_rng(1)
    batches = rng.normal(3, 0.1, (1, 6))
    one = per_batch(batches, batches - 1)
    several = per_batch(batches + np.array([[-1.0], [0.0], [1.0]]), batches - 1)
    assert several.high - several.low > 3 * (one.high - one.low) and "seeds" in several.method


def test_holm_is_statsmodels_by_hand():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == []


@pytest.mark.parametrize(
    ("value", "p", "verdict"),
    [(1, 0.01, claims.SUPPORTED), (-1, 0.01, claims.CONTRADICTED), (1, 0.2, claims.INCONCLUSIVE)],
)
def test_verdicts(value, p, verdict):
    assert judge(value, p) == verdict


def test_parity_needs_the_margin():
    assert judge_parity(-0.01, -0.015, 0.2, 0.02) == claims.SUPPORTED
    # Behind beyond chance, but by less than the margin.
    assert judge_parity(-0.01, -0.015, 0.01, 0.02) == claims.SUPPORTED
    assert judge_parity(-0.01, -0.03, 0.2, 0.02) == claims.INCONCLUSIVE
    assert judge_parity(-0.03, -0.05, 0.2, 0.02) == claims.INCONCLUSIVE
    assert judge_parity(-0.03, -0.04, 0.01, 0.02) == claims.CONTRADICTED


def test_evidence_is_read_from_what_the_evaluations_keep(tmp_path):
    for model, score in (("ViT-Nano", [1, 0, 1, 0]), ("VMamba-Nano", [1, 1, 1, 0])):
        folder = tmp_path / f"{model}-0"
        folder.mkdir()
        frame = pd.DataFrame({
            "key": list("abcd"), "unit": list("xxyy"), "label": [0, 1, 0, 1],
            "score": np.array(score, float),
        })  # fmt: skip
        frame.to_parquet(folder / "mnist.parquet")
    from tests.synthetic_results import everything

    found = claims.gather(
        [r for r in everything() if r.model in {"ViT-Nano", "VMamba-Nano"}],
        tmp_path.glob("*/*.parquet"),
        {},
        conditions=["contrast"],
        quantities=["lambda_max"],
    )
    assert found.tasks["mnist"].by_model["VMamba-Nano"].tolist() == [[1, 1, 1, 0]]
    assert found.tasks["mnist"].units.tolist() == list("xxyy")
    assert list(found.curvature["lambda_max"]) and found.conditions == {}


def test_curvature_of_other_batches_is_refused():
    from tests.synthetic_results import everything

    measured = [r for r in everything() if r.kind == "hessian"][:2]
    other = measured[1].model_copy(
        update={"details": {**measured[1].details, "pairs": {"sha256": "other"}}}
    )
    with pytest.raises(ValueError, match="different mini-batches"):
        claims.gather([measured[0], other], [], {}, conditions=[], quantities=["lambda_max"])
