import numpy as np
import pytest
from scipy.stats import norm

from clip_mamba.statistics import bootstrap_interval, mean_interval, paired_difference


def test_mean_interval_matches_the_normal_approximation():
    values = np.random.default_rng(0).random(2000) < 0.3
    low, high = mean_interval(values, resamples=4000)
    half = norm.ppf(0.975) * np.sqrt(values.mean() * (1 - values.mean()) / values.size)
    assert low == pytest.approx(values.mean() - half, abs=0.003)
    assert high == pytest.approx(values.mean() + half, abs=0.003)


def test_clusters_of_copies_widen_the_interval_as_if_there_were_no_copies():
    values = np.random.default_rng(1).random(200) < 0.5
    copies, clusters = np.repeat(values, 10), np.repeat(np.arange(200), 10)
    naive = np.diff(mean_interval(copies))[0]
    honest = np.diff(mean_interval(copies, clusters))[0]
    alone = np.diff(mean_interval(values))[0]
    assert honest == pytest.approx(alone, rel=0.1)
    assert honest > 2.5 * naive


def test_both_functions_agree_on_a_mean():
    rng = np.random.default_rng(2)
    values, clusters = rng.random(300), rng.integers(0, 40, 300)
    general = bootstrap_interval(lambda chosen: values[chosen].mean(), clusters, seed=5)
    assert general == pytest.approx(mean_interval(values, clusters, seed=5))


def test_the_seed_decides():
    values = np.arange(50.0)
    assert mean_interval(values, seed=1) == mean_interval(values, seed=1)
    assert mean_interval(values, seed=1) != mean_interval(values, seed=2)


def test_no_example_is_refused():
    with pytest.raises(ValueError, match="empty"):
        mean_interval(np.array([]))
    with pytest.raises(ValueError, match="empty"):
        bootstrap_interval(lambda chosen: 0.0, [])


def test_a_paired_interval_is_that_of_the_differences():
    rng = np.random.default_rng(0)
    hard = rng.random(3000)
    a, b = (rng.random((2, 3000)) < 0.2 + 0.6 * hard).astype(float)
    found = paired_difference(a, b, resamples=4000)
    half = norm.ppf(0.975) * (a - b).std(ddof=1) / np.sqrt(a.size)
    assert found.value == pytest.approx(a.mean() - b.mean())
    assert found.high - found.low == pytest.approx(2 * half, rel=0.08)


def test_p_and_interval_agree():
    rng = np.random.default_rng(1)
    for shift in np.linspace(0, 0.2, 21):
        a = rng.normal(shift, 1, 400)
        found = paired_difference(a, np.zeros(400), seed=3)
        if abs(found.p - 0.05) > 0.002:
            assert (found.p < 0.05) == (found.low > 0 or found.high < 0)


def test_p_is_uniform_when_there_is_no_difference():
    rng = np.random.default_rng(2)
    found = [
        paired_difference(*rng.normal(size=(2, 60)), seed=i, resamples=300).p for i in range(300)
    ]
    assert np.mean(np.array(found) < 0.05) == pytest.approx(0.05, abs=0.035)
    assert np.mean(np.array(found) < 0.5) == pytest.approx(0.5, abs=0.1)


def test_copies_in_a_cluster_do_not_make_a_difference_significant():
    rng = np.random.default_rng(3)
    a, b = rng.normal(0.15, 1, 60), np.zeros(60)
    alone = paired_difference(a, b)
    units = np.repeat(np.arange(60), 20)
    copied = paired_difference(np.repeat(a, 20), np.repeat(b, 20), units)
    naive = paired_difference(np.repeat(a, 20), np.repeat(b, 20))
    assert copied.high - copied.low == pytest.approx(alone.high - alone.low, rel=0.1)
    assert naive.high - naive.low < 0.4 * (copied.high - copied.low)


def test_a_statistic_of_its_own_and_the_mean_agree():
    rng = np.random.default_rng(4)
    a, b, units = rng.random(200), rng.random(200), rng.integers(0, 50, 200)
    general = paired_difference(a, b, units, statistic=lambda row, drawn: float(row[drawn].mean()))
    mean = paired_difference(a, b, units)
    assert (general.low, general.high, general.p) == pytest.approx((mean.low, mean.high, mean.p))


def test_seeds_that_differ_widen_the_interval():
    rng = np.random.default_rng(5)
    hits = rng.random(2000) < 0.6
    same = np.stack([hits] * 3).astype(float)
    spread = same * np.array([[0.9], [1.0], [1.1]])
    other = (rng.random((3, 2000)) < 0.55).astype(float)
    steady, varied = paired_difference(same, other), paired_difference(spread, other)
    assert varied.value == pytest.approx(steady.value)
    assert varied.high - varied.low > 1.5 * (steady.high - steady.low)
    assert varied.p > steady.p
    assert "3 and 3 seeds" in varied.method


def test_other_examples_are_refused():
    with pytest.raises(ValueError, match="3 and 4 scores"):
        paired_difference(np.zeros(3), np.zeros(4))
    with pytest.raises(ValueError, match="2 units"):
        paired_difference(np.zeros(3), np.zeros(3), [0, 1])
    with pytest.raises(ValueError, match="empty"):
        paired_difference(np.zeros(0), np.zeros(0))


def test_a_single_example_or_cluster_shows_nothing():
    for found in (
        paired_difference(np.array([1.0]), np.array([0.0])),
        paired_difference(np.ones(3), np.zeros(3), ["a", "a", "a"]),
    ):
        assert found.value == 1 and found.p == 1 and np.isnan(found.low)
