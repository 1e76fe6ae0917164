import numpy as np
import pytest
from scipy.stats import norm

from clip_mamba.statistics import bootstrap_interval, mean_interval


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
