import json

import pytest

from clip_mamba.data.demo_probes import CAPTIONS, build_emoji_probe, build_emoji_retrieval
from clip_mamba.data.demo_tasks import build_emoji_tasks
from clip_mamba.data.emoji import read_corpus
from clip_mamba.data.retrieval_sets import RetrievalSet
from clip_mamba.data.shards import read_tar
from clip_mamba.data.tasks import Task, read_images
from clip_mamba.files import sha256


@pytest.fixture(scope="module")
def tasks(rendered, tmp_path_factory):
    folder = tmp_path_factory.mktemp("zeroshot")
    build_emoji_tasks(rendered, folder)
    return folder


def test_the_retrieval_set_has_captions_that_name_each_picture(tasks, rendered, tmp_path):
    source = tasks / "unseen-style-concept"
    build_emoji_retrieval(source, rendered, tmp_path, seed=1)
    about, concepts = RetrievalSet.read(tmp_path), read_corpus(rendered).concepts
    assert (about.images, about.sha256) == (
        Task.read(source).examples,
        sha256(tmp_path / "test.tar"),
    )
    total = 0
    for (key, files), (same, original) in zip(
        read_tar(tmp_path / "test.tar"), read_tar(source / "test.tar"), strict=True
    ):
        texts = json.loads(files["json"])["captions"]
        label = concepts[json.loads(original["json"])["concept"]].label
        assert key == same and files["png"] == original["png"]
        assert 1 <= len(texts) <= CAPTIONS and all(label in text for text in texts)
        assert len(set(texts)) == len(texts)
        total += len(texts)
    assert total == about.captions


def test_the_same_seed_writes_the_same_bytes(tasks, rendered, tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        build_emoji_retrieval(tasks / "unseen-style-concept", rendered, tmp_path / name, seed=seed)
    one, two, three = (RetrievalSet.read(tmp_path / name).sha256 for name in "abc")
    assert one == two != three


def test_a_probe_learns_from_training_pictures_of_its_classes(tasks, training, tmp_path):
    source = tasks / "unseen-style-group"
    task = build_emoji_probe(source, training, tmp_path, examples=25)
    assert task == Task.read(tmp_path) and task.train.examples == 25
    assert (tmp_path / "test.tar").read_bytes() == (source / "test.tar").read_bytes()
    assert task.train.sha256 == sha256(tmp_path / "train.tar")
    by_key = {
        key: json.loads(files["json"])
        for shard in json.loads(training.read_text())["shards"]
        for key, files in read_tar(training.parent / shard["name"])
    }
    data = read_images(tmp_path / "train.tar")
    for key, label in zip(data.keys, data.labels, strict=True):
        assert task.neighbours.values[by_key[key]["group"]] == label


def test_a_task_whose_classes_no_training_picture_shows_cannot_be_probed(tasks, training, tmp_path):
    with pytest.raises(ValueError, match="cannot be probed: no training picture shows"):
        build_emoji_probe(tasks / "unseen-concepts-concept", training, tmp_path, examples=9)
