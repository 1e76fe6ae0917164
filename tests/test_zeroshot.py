import io

import numpy as np
import pandas as pd
import pytest
import torch
from open_clip import build_zero_shot_classifier
from PIL import Image

from clip_mamba import create_model
from clip_mamba.checkpoints import save_weights
from clip_mamba.classifier import ClassifierCache, encode_texts
from clip_mamba.comparison import compare
from clip_mamba.data.tasks import write_missing, write_task
from clip_mamba.features import MAX_UNREADABLE, ImageEncoder
from clip_mamba.results import Result
from clip_mamba.zeroshot import (
    METRICS,
    build_classifier,
    classify,
    clusters,
    encode_images,
    evaluate,
    run,
    unit_features,
)

CLASSES = [["red square"], ["green square", "lime square"], ["blue square"]]
FACTS = {
    "name": "squares",
    "title": "Squares",
    "split": "test",
    "classes": CLASSES,
    "templates": ["a {}", "a picture of a {}, plain"],
    "neighbours_reason": "no corpus",
    "licence": "none",
    "source": "made up",
}


def encoded(image, kind="PNG"):
    content = io.BytesIO()
    image.save(content, kind)
    return content.getvalue()


def squares(count=40, seed=0):
    """Samples in two formats, and their classes."""
    rng, samples, labels = np.random.default_rng(seed), [], []
    for i in range(count):
        label = int(rng.integers(3))
        pixels = rng.integers(0, 120, (24, 30, 3), dtype=np.uint8)
        pixels[..., label] += 130
        ending, kind = ("jpg", "JPEG") if i % 2 else ("png", "PNG")
        picture = encoded(Image.fromarray(pixels), kind)
        samples.append((f"s{i:04d}", {ending: picture, "cls": str(label).encode()}))
        labels.append(label)
    return samples, labels


@pytest.fixture
def task(tmp_path):
    samples, labels = squares()
    return write_task(tmp_path / "task", samples, labels, **FACTS)


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


def test_texts_are_as_open_clip_encodes_them_whatever_their_length(clip):
    model, _, tokenizer = clip
    texts = ["a", "a much longer text about a cat on a mat", "cat", "a"]
    ours = encode_texts(model, tokenizer, texts, batch_size=2)
    with torch.inference_mode():
        theirs = model.encode_text(tokenizer(texts), normalize=True)
    torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=1e-5)


def test_a_classifier_is_made_once_and_again_if_its_file_is_damaged(clip, tmp_path, monkeypatch):
    model, _, tokenizer = clip
    made = []
    original = build_classifier
    monkeypatch.setattr(
        "clip_mamba.classifier.build_classifier",
        lambda *arguments: made.append(1) or original(*arguments),
    )

    def fresh(identity="weights"):
        return ClassifierCache(model, tokenizer, folder=tmp_path, identity=identity)

    first = fresh()(CLASSES, ["a {}"])
    torch.testing.assert_close(fresh()(CLASSES, ["a {}"]), first, rtol=0, atol=0)
    assert len(made) == 1
    fresh()(CLASSES, ["the {}"])
    fresh("other weights")(CLASSES, ["a {}"])
    assert len(made) == 3
    (tmp_path / f"{fresh().key(CLASSES, ['a {}'])}.safetensors").write_bytes(b"half")
    torch.testing.assert_close(fresh()(CLASSES, ["a {}"]), first, rtol=0, atol=0)
    assert len(made) == 4


def test_evaluate_equals_the_plain_computation(clip, task, tmp_path):
    model, preprocess, tokenizer = clip
    scores = evaluate(model, preprocess, tokenizer, task, tmp_path / "task")
    samples, labels = squares()
    pictures = [
        Image.open(io.BytesIO(files.get("png") or files["jpg"])).convert("RGB")
        for _, files in samples
    ]
    with torch.inference_mode():
        batch = torch.stack([preprocess(picture) for picture in pictures])
        features = model.encode_image(batch, normalize=True)
        logits = features @ build_classifier(model, tokenizer, CLASSES, task.templates)
    assert (scores.predictions["top1"] == logits.argmax(1).numpy()).all()
    assert list(scores.predictions["key"]) == [key for key, _ in samples]
    assert list(scores.predictions["label"]) == labels
    assert scores.value == pytest.approx((logits.argmax(1).numpy() == labels).mean())


@pytest.mark.parametrize("workers", [1, 3])
def test_order_and_bytes_of_the_input_do_not_depend_on_threads(clip, task, tmp_path, workers):
    model, preprocess, _ = clip
    plain = ImageEncoder(unit_features(model), preprocess, batch_size=7, workers=workers)
    found = plain.read(tmp_path / "task" / "test.tar")
    assert found.keys == [key for key, _ in squares()[0]]
    batched = plain.preprocess
    assert batched.cut
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 255, (9, 40, 3), dtype=np.uint8))
    made = batched.batch([batched.one(picture)] * 2, torch.device("cpu"))
    torch.testing.assert_close(made[0], preprocess(picture), rtol=0, atol=0)


def test_pictures_seen_before_are_not_encoded_again(clip, task, tmp_path):
    model, preprocess, _ = clip
    seen = []

    def encode(pictures):
        seen.append(len(pictures))
        return unit_features(model)(pictures)

    encoder = ImageEncoder(encode, preprocess, batch_size=16)
    first = encoder.read(tmp_path / "task" / "test.tar")
    again = encoder.read(tmp_path / "task" / "test.tar")
    assert sum(seen) == 40
    torch.testing.assert_close(first.features, again.features, rtol=0, atol=0)


def test_a_transform_of_another_make_is_applied_whole(clip, task, tmp_path):
    model, preprocess, _ = clip
    whole = ImageEncoder(unit_features(model), lambda picture: preprocess(picture))
    assert not whole.preprocess.cut
    cut = ImageEncoder(unit_features(model), preprocess)
    tar = tmp_path / "task" / "test.tar"
    torch.testing.assert_close(whole.read(tar).features, cut.read(tar).features)


def test_few_unreadable_pictures_are_counted_and_many_refused(clip, tmp_path):
    model, preprocess, tokenizer = clip
    enough = int(1 / MAX_UNREADABLE)
    picture = encoded(Image.new("RGB", (4, 4)))
    good = [(f"s{i:04d}", {"png": picture, "cls": b"0"}) for i in range(enough - 1)]
    bad = [(f"t{i}", {"png": picture[:30], "cls": b"0"}) for i in range(2)]
    one = write_task(tmp_path / "one", [*good, bad[0]], [0] * enough, **FACTS)
    scores = evaluate(model, preprocess, tokenizer, one, tmp_path / "one")
    assert (scores.corrupt, len(scores.predictions)) == (1, enough - 1)
    two = write_task(tmp_path / "two", [*good[1:], *bad], [0] * enough, **FACTS)
    with pytest.raises(ValueError, match="2 of 1000 pictures are unreadable, more than 0.1 %"):
        evaluate(model, preprocess, tokenizer, two, tmp_path / "two")


@pytest.mark.parametrize("label", [b"3", b"-1", b"cat", b""])
def test_a_label_out_of_range_names_the_sample(clip, tmp_path, label):
    model, preprocess, tokenizer = clip
    samples, labels = squares(6)
    samples[4][1]["cls"] = label
    task = write_task(tmp_path / "task", samples, labels, **FACTS)
    with pytest.raises(ValueError, match="sample s0004: label .* is not one of 0 to 2"):
        evaluate(model, preprocess, tokenizer, task, tmp_path / "task")


def test_an_altered_tar_is_refused(clip, task, tmp_path):
    (tmp_path / "task" / "test.tar").write_bytes(b"x" * 2048)
    with pytest.raises(ValueError, match="expected sha256"):
        evaluate(*clip, task, tmp_path / "task")


def test_frames_of_one_video_are_one_cluster():
    assert clusters([{"cluster": "a"}, {"cluster": "a"}]) == ["a", "a"]
    assert clusters([{"concept": "1f41a", "style": "noto"}] * 2) == ["1f41a"] * 2
    assert clusters([{"concept": "7", "style": "mnist"}] * 2) is None
    assert clusters([{}, {}]) is None


@pytest.fixture
def weights(tmp_path):
    torch.manual_seed(1)
    path = tmp_path / "ViT-Test.safetensors"
    save_weights(path, create_model("ViT-Test")[0], {"model": "ViT-Test"})
    return path


def test_a_run_measures_what_is_there_and_says_why_the_rest_is_not(task, weights, tmp_path):
    gated = {**FACTS, "name": "gated", "title": "Gated", "metric": "mean_per_class"}
    write_missing(tmp_path / "gated", "ask its owner", **gated)
    names = ["task", "gated"]
    run(
        model_name="ViT-Test",
        seed=3,
        scale="demo",
        weights=weights,
        tasks=[tmp_path / name for name in names],
        results=[tmp_path / f"{name}.json" for name in names],
        predictions=[tmp_path / f"{name}.parquet" for name in names],
        cache=tmp_path / "cache",
        code="1",
    )
    found = Result.read(tmp_path / "task.json")
    kept = pd.read_parquet(tmp_path / "task.parquet")
    assert found.value == pytest.approx((kept["top1"] == kept["label"]).mean())
    assert found.value == pytest.approx(kept["score"].mean())
    assert (found.seed, found.examples, found.device) == (3, 40, "cpu")
    absent = Result.read(tmp_path / "gated.json")
    assert (absent.value, absent.reason, absent.metric) == (None, "ask its owner", "mean_per_class")
    assert absent.details["title"] == "Gated"
    assert len(pd.read_parquet(tmp_path / "gated.parquet")) == 0
    assert len(list((tmp_path / "cache").glob("*.safetensors"))) == 1


def test_models_are_compared_on_the_same_examples(logits_and_labels, tmp_path):
    logits, labels = logits_and_labels
    better = logits + 0.8 * np.eye(7)[labels]
    for name, found in (("a", better), ("b", logits), ("c", logits[1:])):
        classify(
            found, labels[len(labels) - len(found) :], "mean_per_class"
        ).predictions.to_parquet(tmp_path / f"{name}.parquet")
    paths = {name: [tmp_path / f"{name}.parquet"] for name in "abc"}
    found = compare(paths["a"], paths["b"], "mean_per_class")
    metric = METRICS["mean_per_class"]
    assert found.value == pytest.approx(metric(better, labels) - metric(logits, labels))
    assert 0 < found.low < found.value < found.high
    assert found.p < 0.01
    assert compare(paths["a"], paths["a"], "mean_per_class").p == 1
    with pytest.raises(ValueError, match="not of the same examples"):
        compare(paths["a"], paths["c"])
    with pytest.raises(ValueError, match="known: top1"):
        compare(paths["a"], paths["b"], "top3")


def test_a_template_without_a_place_for_the_class_is_refused():
    model, _, tokenizer = create_model("ViT-Test")
    for template in ("a photo", "a {} or a {}"):
        with pytest.raises(ValueError, match="needs one {}"):
            build_classifier(model, tokenizer, [["cat"], ["dog"]], [template])
