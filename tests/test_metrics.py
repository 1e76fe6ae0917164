import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, roc_auc_score, top_k_accuracy_score

from clip_mamba.metrics import METRICS


@pytest.fixture
def logits_and_labels():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 7, 400)
    return rng.normal(size=(400, 7)) + 1.5 * np.eye(7)[labels], labels


def test_metrics_equal_scikit_learn(logits_and_labels):
    logits, labels = logits_and_labels
    top1 = top_k_accuracy_score(labels, logits, k=1)
    top5 = top_k_accuracy_score(labels, logits, k=5)
    assert METRICS["top1"](logits, labels) == pytest.approx(top1)
    assert METRICS["mean_top1_top5"](logits, labels) == pytest.approx((top1 + top5) / 2)
    balanced = balanced_accuracy_score(labels, logits.argmax(1))
    assert METRICS["mean_per_class"](logits, labels) == pytest.approx(balanced)
    two = logits[:, :2]
    area = roc_auc_score(labels % 2, two[:, 1] - two[:, 0])
    assert METRICS["roc_auc"](two, labels % 2) == pytest.approx(area, abs=1e-6)


def test_ties_count_half_in_the_area_as_in_scikit_learn():
    rng = np.random.default_rng(1)
    scores, labels = rng.integers(0, 4, 300).astype(float), rng.integers(0, 2, 300)
    logits = np.stack([-scores, np.zeros(300)], axis=1)
    assert METRICS["roc_auc"](logits, labels) == pytest.approx(roc_auc_score(labels, scores))


def test_an_area_needs_two_classes_and_both_present():
    assert np.isnan(METRICS["roc_auc"](np.zeros((3, 2)), np.zeros(3, int)))
    with pytest.raises(ValueError, match="two classes, not 3"):
        METRICS["roc_auc"](np.zeros((3, 3)), np.zeros(3, int))


def test_classes_that_are_absent_do_not_count():
    logits = np.eye(4)[[0, 0, 2, 1]]
    assert METRICS["mean_per_class"](logits, np.array([0, 0, 2, 2])) == pytest.approx(0.75)


def test_a_model_that_tells_nothing_apart_scores_chance():
    labels = np.arange(20).repeat(5)
    for name, chance in (("top1", 1 / 20), ("mean_per_class", 1 / 20), ("mean_top1_top5", 0.15)):
        metric = METRICS[name]
        assert metric(np.zeros((100, 20)), labels) == pytest.approx(chance), name
