import numpy as np
import pytest
import torch
from open_clip import build_zero_shot_classifier
from sklearn.metrics import balanced_accuracy_score, roc_auc_score, top_k_accuracy_score

from clip_mamba import create_model
from clip_mamba.zeroshot import METRICS, build_classifier, classify, encode_images


@pytest.fixture(scope="module")
def clip():
    torch.manual_seed(0)
    return create_model("ViT-Test")


@pytest.fixture
def logits_and_labels():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 7, 400)
    logits = rng.normal(size=(400, 7)) + 1.5 * np.eye(7)[labels]
    return logits, labels


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
    assert METRICS["roc_auc"](two, labels % 2) == pytest.approx(area)


def test_the_classifier_equals_open_clips_when_every_class_has_one_name(clip):
    model, _, tokenizer = clip
    names, templates = ["cat", "red apple", "bus"], ["a {}.", "picture of a {}"]
    ours = build_classifier(model, tokenizer, [[n] for n in names], templates)
    functions = [template.format for template in templates]
    theirs = build_zero_shot_classifier(model, tokenizer, names, functions)
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)


def test_synonyms_are_averaged_before_the_second_normalisation(clip):
    model, _, tokenizer = clip
    both = build_classifier(model, tokenizer, [["cat", "kitten"]], ["a {}"])
    each = build_classifier(model, tokenizer, [["cat"], ["kitten"]], ["a {}"])
    mean = each.mean(1)
    torch.testing.assert_close(both[:, 0], mean / mean.norm(), atol=1e-5, rtol=1e-5)


def test_batches_do_not_change_features(clip):
    model, preprocess, _ = clip
    from PIL import Image

    rng = np.random.default_rng(0)
    images = [Image.fromarray(rng.integers(0, 255, (40, 30, 3), dtype=np.uint8)) for _ in range(5)]
    one = encode_images(model, images, preprocess, batch_size=2)
    all_at_once = encode_images(model, images, preprocess, batch_size=64)
    torch.testing.assert_close(one, all_at_once, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(one.norm(dim=1), torch.ones(5))


def test_classify_keeps_each_decision(logits_and_labels):
    logits, labels = logits_and_labels
    scores = classify(logits, labels)
    frame = scores.predictions
    assert len(frame) == 400
    assert (frame["top1"] == frame["label"]).mean() == pytest.approx(scores.value)
    assert scores.interval[0] < scores.value < scores.interval[1]
    best_two = np.sort(logits, axis=1)[:, -2:]
    np.testing.assert_allclose(frame["margin"], best_two[:, 1] - best_two[:, 0])


@pytest.mark.parametrize("metric", METRICS)
def test_every_metric_has_an_interval(metric, logits_and_labels):
    logits, labels = logits_and_labels
    chosen = (logits[:, :2], labels % 2) if metric == "roc_auc" else (logits, labels)
    low, high = classify(*chosen, metric=metric).interval
    assert 0 <= low < high <= 1


def test_an_unknown_metric_is_refused(logits_and_labels):
    with pytest.raises(ValueError, match="known: top1"):
        classify(*logits_and_labels, metric="top2")


def test_a_class_without_a_name_is_refused(clip):
    model, _, tokenizer = clip
    with pytest.raises(ValueError, match=r"unnamed classes: \[1\]"):
        build_classifier(model, tokenizer, [["cat"], []], ["a {}"])
