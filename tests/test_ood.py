"""The protocol: decisions, trials, results."""

import numpy as np
import pandas as pd
import pytest
import torch

from clip_mamba import ood
from clip_mamba.corruptions import NONPARAMETRIC, normalise_level
from clip_mamba.ood import CATEGORIES, decision
from clip_mamba.ood.summary import demo_excluded
from clip_mamba.results import Result
from clip_mamba.stimuli import make_stimuli, read_stimuli
from tests.ood_objects import DEMO_LEVELS, Colourist, preprocess, tokenizer, write_bases


@pytest.fixture(scope="module")
def tars(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ood")
    base = write_bases(folder / "base.tar")
    paths = {}
    for condition in ("contrast", "rotation", "cue-conflict"):
        paths[condition] = folder / f"{condition}.tar"
        levels = DEMO_LEVELS[condition][:3]
        make_stimuli(
            base, condition, levels, image_size=16, seed=0, out_path=paths[condition],
            per_category=3,
        )  # fmt: skip
    return paths


def evaluate(tars, model=None, **options):
    model = model or Colourist()
    return ood.evaluate(
        model, preprocess, tokenizer, tars, subject="Model-0", progress=False, **options
    )


def test_trials_follow_the_model(tars):
    trials = evaluate(tars)
    assert list(trials) == ["contrast", "rotation", "cue-conflict"]
    for condition, table in trials.items():
        assert tuple(table.columns) == ood.trials.COLUMNS
        assert set(table["subj"]) == {"Model-0"}
        read = read_stimuli(tars[condition])
        means = [float(preprocess(s.image).mean()) for s in read]
        expected = [CATEGORIES[int(mean * 16) % 16] for mean in means]
        assert list(table["object_response"]) == expected
        assert list(table["imagename"]) == [s.imagename for s in read]


def test_equal_pictures_are_encoded_once(tars):
    model = Colourist()
    evaluate(tars, model)
    unique = {s.png for path in tars.values() for s in read_stimuli(path)}
    total = sum(len(read_stimuli(path)) for path in tars.values())
    assert model.encoded == len(unique) < total


def test_the_mean_over_classes_decides():
    # Category 0 has one class, category 1 three: mean probabilities .30 against .70 / 3.
    matrix = torch.zeros(4, 16)
    matrix[0, 0] = 1
    matrix[1:, 1] = 1 / 3
    probabilities = torch.tensor([[0.30, 0.5, 0.1, 0.1], [0.20, 0.1, 0.1, 0.6]])
    chooser = ood.Classifier(torch.eye(4), matrix, 1.0)
    assert list(ood.decide(probabilities.log(), chooser)) == ["airplane", "bear"]


def test_imagenet_classes():
    matrix = decision.imagenet_matrix()
    assert matrix.shape == (1000, 16)
    torch.testing.assert_close(matrix.sum(0), torch.ones(16))
    assert (matrix > 0).sum(1).max() == 1
    assert int((matrix > 0).sum()) == 207
    assert decision.imagenet_indices("truck") == [555, 569, 656, 675, 717, 734, 864, 867]
    assert decision.imagenet_indices("cat") == [281, 282, 283, 284, 285, 286]
    # German shepherd is a dog; wolves, foxes, and the four excluded breeds' classes are not.
    dogs = set(decision.imagenet_indices("dog"))
    assert 235 in dogs
    assert not dogs & {192, 204, 227, 242, 251, 258, 260, 264, 269, 277}


def test_imagenet_decisions_use_the_same_path(tars):
    names = [[CATEGORIES[i % 16]] for i in range(1000)]
    trials = evaluate(tars, names=names, matrix=decision.imagenet_matrix())
    assert len(trials["contrast"]) == len(read_stimuli(tars["contrast"]))
    with pytest.raises(ValueError, match="999 classes and a matrix"):
        evaluate(tars, names=names[1:], matrix=decision.imagenet_matrix())


def perfect(tar, wrong=lambda stimulus: False):
    """Return trials that are right except where told otherwise."""
    rows = [
        {
            "subj": "M", "session": 1, "trial": i, "rt": np.nan,
            "object_response": "oven" if wrong(s) else s.category, "category": s.category,
            "condition": s.level, "imagename": s.imagename,
        }
        for i, s in enumerate(read_stimuli(tar), 1)
    ]  # fmt: skip
    return pd.DataFrame(rows)


def summarise(trials, condition, tar, **options):
    return ood.summarise(
        trials, condition, scale="demo", model="M", seed=0, image_parameters=1,
        text_parameters=2, stimuli_tar=tar, **options,
    )  # fmt: skip


def test_controls_do_not_enter_the_value(tars, tmp_path):
    trials = perfect(tars["contrast"], wrong=lambda s: s.level == "c30" and s.category != "oven")
    result = summarise(trials, "contrast", tars["contrast"])
    assert result.details["excluded_levels"] == ["c100"]
    assert result.value == pytest.approx((1 + 1 / 16) / 2)
    assert [entry["level"] for entry in result.details["levels"]] == ["c100", "c50", "c30"]
    accuracies = [entry["accuracy"] for entry in result.details["levels"]]
    assert accuracies == [1, 1, pytest.approx(1 / 16)]
    assert result.examples == 2 * 16 * 3
    assert result.details["categories"]["dog"] == {"examples": 9, "objects": 3}
    result.write(tmp_path / "result.json")
    assert Result.read(tmp_path / "result.json") == result


def test_the_interval_is_reproducible_and_holds_the_value(tars):
    trials = perfect(tars["rotation"], wrong=lambda s: int(s.base[-1]) % 2 == 0)
    one, two = (summarise(trials, "rotation", tars["rotation"]) for _ in range(2))
    assert one.interval == two.interval
    assert one.interval[0] <= one.value <= one.interval[1]
    assert one.details["excluded_levels"] == ["0"]


def test_only_controls_give_no_value(tars):
    trials = perfect(tars["contrast"])
    result = summarise(trials[trials["condition"] == "c100"], "contrast", tars["contrast"])
    assert result.value is None
    assert result.reason


def test_shape_bias_in_the_result(tars, tmp_path):
    trials = perfect(tars["cue-conflict"])
    bird = trials["category"] == "bird"
    textures = trials["imagename"].map(ood.trials.texture_category)
    trials.loc[bird, "object_response"] = textures[bird]
    trials.loc[trials["category"] == "car", "object_response"] = "na"
    details = summarise(trials, "cue-conflict", tars["cue-conflict"]).details["cue_conflict"]
    assert details["shape_bias"] == pytest.approx(14 / 15)
    assert details["shape"] == pytest.approx(14 / 16)
    assert details["texture"] == pytest.approx(1 / 16)
    assert details["per_category"]["bird"]["shape_bias"] == 0
    assert details["per_category"]["car"]["shape_bias"] is None
    assert details["interval"][0] <= 14 / 15 <= details["interval"][1]


def test_levels_of_the_demo_are_canonical_and_begin_with_the_control():
    for condition, levels in DEMO_LEVELS.items():
        assert [normalise_level(condition, level) for level in levels] == list(levels)
        if condition not in NONPARAMETRIC:
            assert demo_excluded(condition, levels) == (levels[0],)
