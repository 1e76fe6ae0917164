"""The metrics equal values computed by hand, and the benchmark's rules of averaging."""

import numpy as np
import pandas as pd
import pytest

from clip_mamba.ood import benchmark, metrics
from clip_mamba.ood import trials as tables


def trials(subject, answers, condition="c50", categories="ccddbb", names=None):
    """Return trials from strings, a letter per trial: c(at), d(og), b(ird), - (no answer)."""
    words = {"c": "cat", "d": "dog", "b": "bird", "-": "na"}
    if names is None:
        names = [f"{i:04d}_x_s01_{condition}_cat_10_pic{i}.png" for i in range(len(answers))]
    return pd.DataFrame({
        "subj": subject,
        "session": 1,
        "trial": np.arange(1, len(answers) + 1),
        "rt": np.nan,
        "object_response": [words[answer] for answer in answers],
        "category": [words[category] for category in categories],
        "condition": condition,
        "imagename": names,
    })


def test_accuracy_by_hand():
    assert metrics.accuracy(trials("m", "ccdd--")) == 4 / 6
    assert metrics.accuracy_difference(
        trials("m", "ccdd--"), trials("n", "c-----")
    ) == pytest.approx((4 / 6 - 1 / 6) ** 2, abs=1e-15)
    with pytest.raises(ValueError, match="no trial"):
        metrics.accuracy(trials("m", "", categories=""))


def test_consistency_by_hand():
    # Right: 1 1 1 1 0 0 and 1 1 1 0 1 0: they agree on four of six trials. Accuracies 4/6, 4/6:
    # by chance they would agree on 16/36 + 4/36 = 5/9; kappa = (6/9 - 5/9) / (4/9) = 1/4.
    result = metrics.consistency(trials("m", "ccddcc"), trials("n", "ccdcbc"))
    assert result["observed consistency"] == pytest.approx(2 / 3, abs=1e-12)
    assert result["expected consistency"] == pytest.approx(5 / 9, abs=1e-12)
    assert result["error consistency"] == pytest.approx(1 / 4, abs=1e-12)


@pytest.mark.parametrize(
    ("first", "second", "kappa"),
    [
        ("ccddbb", "ccddbb", 1.0),  # all right
        ("------", "------", 1.0),  # all wrong
        ("ccddbb", "------", 0.0),  # nothing in common, and nothing expected
        ("ccd---", "---dbb", -1.0),  # never the same where half is expected
    ],
)
def test_kappa_at_its_ends(first, second, kappa):
    result = metrics.consistency(trials("m", first), trials("n", second))
    assert result["error consistency"] == pytest.approx(kappa, abs=1e-12)


def test_the_order_of_trials_does_not_matter():
    first, second = trials("m", "ccddcc"), trials("n", "ccdcbc")
    shuffled = second.sample(frac=1, random_state=1)
    assert metrics.consistency(first, shuffled) == metrics.consistency(first, second)


def test_different_pictures_are_reported():
    first, second = trials("m", "ccddcc"), trials("n", "ccddcc")
    second.loc[2, "imagename"] = "0003_x_s01_c50_cat_10_other.png"
    with pytest.raises(ValueError, match="1 pictures only in the first, 1 only in the second"):
        metrics.consistency(first, second)
    with pytest.raises(ValueError, match="6 and 5 trials"):
        metrics.consistency(first, trials("n", "ccddcc").iloc[:5])


def cue_trials(answers):
    words = {"c": "cat", "d": "dog", "b": "bird", "-": "na"}
    names = ["cat1-dog1", "cat2-bird1", "cat3-cat1", "dog1-cat2", "dog2-bird2"]
    table = trials("m", answers, "0", "cccdd", [f"0001_s5n_s01_0_x_00_{n}.png" for n in names])
    assert list(table["object_response"]) == [words[a] for a in answers]
    return table


def test_shape_bias_by_hand():
    # Decisions: shape, texture, (no conflict), shape, neither. Of five trials two follow the
    # shape and one the texture: 2/5, 1/5, 2/3.
    result = metrics.shape_bias(cue_trials("cbcdc"))
    assert result == pytest.approx({"shape": 0.4, "texture": 0.2, "shape bias": 2 / 3}, abs=1e-12)
    low, high = metrics.shape_bias_interval(cue_trials("cbcdc"))
    assert 0 <= low <= 2 / 3 <= high <= 1
    assert np.isnan(metrics.shape_bias(cue_trials("-----"))["shape bias"])
    assert metrics.shape_bias_interval(cue_trials("-----")) is None


@pytest.mark.parametrize(
    ("name", "image", "base", "texture"),
    [
        ("0001_cop_s01_c30_knife_10_n03041632_7380.png", "n03041632_7380.png",
         "n03041632_7380.png", None),
        ("0003_s5n_s01_0_dog_00_dog10-bicycle1.png", "dog10-bicycle1.png", "dog10-bicycle1.png",
         "bicycle"),
        ("0003_s5n_dnn_0_dog_20_dog0004v01-bird0002.png", "dog0004v01-bird0002.png", "dog0004",
         "bird"),
        ("0003_eid_dnn_1-10-2_dog_20_dog0004v01-1-10-2.png", "dog0004v01-1-10-2.png", "dog0004",
         None),
        ("dog10-bird2.png", "dog10-bird2.png", "dog10-bird2.png", "bird"),
    ],
)  # fmt: skip
def test_names(name, image, base, texture):
    assert tables.image_id(name) == image
    assert tables.base_image(name) == base
    if texture is not None:
        assert tables.texture_category(name) == texture


def test_matrix_is_symmetric_with_ones():
    table = pd.concat([trials("a", "ccddcc"), trials("b", "ccdcbc"), trials("c", "------")])
    matrix = metrics.consistency_matrix(table)
    assert list(matrix.index) == ["a", "b", "c"]
    np.testing.assert_allclose(matrix, [[1, 0.25, 0], [0.25, 1, 0], [0, 0, 1]], atol=1e-12)
    observed = metrics.consistency_matrix(table, "observed consistency")
    assert observed.loc["a", "c"] == pytest.approx(2 / 6)


def test_trials_keep_their_columns_and_answers(tmp_path):
    path = tmp_path / "contrast_m_session-1.csv"
    tables.write_trials(trials("m", "ccdd--"), path)
    lines = path.read_text().splitlines()
    assert lines[0] == "subj,session,trial,rt,object_response,category,condition,imagename"
    assert lines[5] == "m,1,5,NaN,na,bird,c50,0004_x_s01_c50_cat_10_pic4.png"
    again = tables.read_trials(path, "contrast")
    assert (again["object_response"] == "na").sum() == 2
    assert again["rt"].isna().all()
    assert metrics.accuracy(again) == 4 / 6


def test_spellings_of_people_and_stimuli_are_joined(tmp_path):
    people = trials("subject-01", "ccddcc", "0.10").rename(columns={"session": "Session"})
    people.to_csv(tmp_path / "people.csv", index=False)
    tables.write_trials(trials("m", "ccdcbc", "0.1"), tmp_path / "model.csv")
    files = [tmp_path / "people.csv", tmp_path / "model.csv"]
    table = tables.read_trials(files, "uniform-noise")
    assert set(table["condition"]) == {"0.1"}
    assert metrics.consistency_matrix(table).loc["subject-01", "m"] == pytest.approx(0.25)
    (tmp_path / "bad.csv").write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match="no column subj"):
        tables.read_trials(tmp_path / "bad.csv", "contrast")


def test_benchmark_averages_levels_then_people_then_sets():
    def level(condition, one, two, model):
        return pd.concat([
            trials("subject-01", one, condition),
            trials("subject-02", two, condition),
            trials("m", model, condition),
        ])

    contrast = pd.concat([
        level("c100", "ccddbb", "ccddbb", "------"),  # left out: a control
        level("c50", "ccddcc", "ccdcbc", "ccddbb"),
        level("c30", "------", "ccddbb", "ccddbb"),
    ])
    edge = level("0", "ccddcc", "ccddcc", "cc----")
    table = benchmark.benchmark({"contrast": contrast, "edge": edge})
    # Model, contrast: all right at both levels; edge 2/6.
    assert table.loc["m", "OOD accuracy"] == pytest.approx((1 + 2 / 6) / 2, abs=1e-12)
    # People pooled, contrast: 4 + 4 + 0 + 6 of 24; edge 8 of 12.
    assert table.loc["humans", "OOD accuracy"] == pytest.approx((14 / 24 + 8 / 12) / 2, abs=1e-12)
    # Observed: contrast c50 4/6 with either, c30 0 and 1; mean (1/3 + 5/6) / 2 = 7/12.
    # Edge: right 111100 twice against 110000: 4/6.
    assert table.loc["m", "observed consistency"] == pytest.approx((7 / 12 + 4 / 6) / 2, abs=1e-12)
    # Squared differences: (1/3)^2 both at c50, 1 and 0 at c30: (5/9 + 1/18) / 2; edge 1/9.
    expected = ((5 / 9 + 1 / 18) / 2 + 1 / 9) / 2
    assert table.loc["m", "accuracy difference"] == pytest.approx(expected, abs=1e-12)
    # People among each other: kappa 1/4 at c50, 0 at c30 (all against none), 1 on edges.
    assert table.loc["humans", "error consistency"] == pytest.approx((1 / 8 + 1) / 2, abs=1e-12)
    assert table.loc["m", "accuracy rank"] == 1
    assert np.isnan(table.loc["humans", "mean rank"])


def test_ranks_of_several_models():
    table = pd.concat([
        trials("subject-01", "ccddcc"),
        trials("good", "ccddcc"),
        trials("bad", "------"),
    ])
    result = benchmark.benchmark({"contrast": table})
    assert result.loc["good", "mean rank"] == 1
    assert result.loc["bad", "mean rank"] == 2


def test_intervals_draw_whole_objects():
    # Two objects, one always right, one always wrong, 50 composites of each: the accuracy of a
    # resample is 0, 1/2 or 1, and the interval has to say so.
    names = [f"1_x_dnn_c50_cat_20_cat{i // 50:04d}v{i % 50:02d}-c50.png" for i in range(100)]
    table = trials("m", "c" * 50 + "d" * 50, categories="c" * 100, names=names)
    assert metrics.accuracy_interval(table) == (0.0, 1.0)
    other = table.assign(subj="n", object_response="dog")
    assert metrics.difference_interval(table, other) == (0.0, 1.0)
    same = metrics.difference_interval(
        table, table, lambda a, b: metrics.kappa(float((a == b).mean()), 0.5)
    )
    assert same == (1.0, 1.0)
