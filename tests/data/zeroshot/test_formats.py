"""Every task in the format of its source: fetched over HTTP, prepared, and scored."""

from pathlib import Path

import numpy as np
import pytest

from clip_mamba.data.shards import read_tar
from clip_mamba.data.tasks import Task, held_out, read_images
from clip_mamba.data.zeroshot_sets.prepare import fetch_task, prepare_task, prepare_train
from clip_mamba.data.zeroshot_sets.table import read_entries
from clip_mamba.files import sha256
from clip_mamba.zeroshot import evaluate
from tests.data.zeroshot.fake_model import FakeClip
from tests.data.zeroshot.miniatures import put_folder, put_task, truth

ENTRIES = read_entries()

#: By hand from TRUTH = aaabbcdd, SEEN = aabbbada: right are numbers 0, 1, 3, 4 and 6.
EXPECTED = {
    "top1": 5 / 8,
    # a: 2 of 3, b: 2 of 2, c: 0 of 1, d: 1 of 2
    "mean_per_class": (2 / 3 + 1 + 0 + 1 / 2) / 4,
    # among the five from the one that is seen are also number 5 (c is two after a), but not
    # number 2 (a comes before b) nor number 7 (d is far off)
    "mean_top1_top5": (5 / 8 + 6 / 8) / 2,
    # class 1 at strengths 4, 6, 7, 3; class 0 at 1, 2, 5, 0: of the 16 pairs, 3+4+4+3 are right
    "roc_auc": 14 / 16,
}
#: With two classes a is c and b is d, so that number 5 (c taken for a) is right as well.
TWO_CLASSES = 6 / 8


def obtain(entry, web, prompts, tmp_path, part="test") -> dict:
    """What the workflow passes on: a list of downloads, or the user's folder."""
    if entry.gated:
        return {"prompts": prompts, "folder": put_folder(tmp_path / "mine", entry)}
    put_task(web, entry, part)
    manifest = tmp_path / "raw" / f"{part}.json"
    fetch_task(entry.name, manifest, part)
    return {"prompts": prompts, "manifest": manifest}


def expected(task: Task) -> float:
    two = task.metric == "top1" and len(task.classes) == 2
    return TWO_CLASSES if two else EXPECTED[task.metric]


@pytest.mark.parametrize("name", ENTRIES)
def test_task_is_fetched_prepared_and_scored(name, web, prompts, tmp_path):
    entry, out = ENTRIES[name], tmp_path / "task"
    task = prepare_task(name, out, threads=2, **obtain(entry, web, prompts, tmp_path))
    assert Task.read(out) == task
    assert (task.examples, task.unreadable, task.missing) == (8, 0, None)
    assert (task.split, task.title, task.metric) == (entry.split, entry.title, entry.metric)
    assert task.sha256 == sha256(out / "test.tar") and len(task.classes) == entry.classes
    found = read_images(out / "test.tar", expected_sha256=task.sha256)
    assert found.labels.tolist() == [truth(entry, number) for number in range(8)]
    model = FakeClip(task)
    scores = evaluate(model, model.preprocess, model.tokenizer, task, out)
    assert scores.value == pytest.approx(expected(task))
    assert len(scores.predictions) == 8 and scores.corrupt == 0


def test_the_number_of_examples_is_compared_with_the_table(web, prompts, tmp_path):
    task = prepare_task("mnist", tmp_path / "t", **obtain(ENTRIES["mnist"], web, prompts, tmp_path))
    assert task.note == "8 pictures where 10000 were expected"


@pytest.mark.parametrize("name", ["cifar10", "cub", "ucf101", "hateful-memes"])
def test_training_pictures_for_probing(name, web, prompts, tmp_path):
    entry = ENTRIES[name]
    prepare_task(name, tmp_path / "task", **obtain(entry, web, prompts, tmp_path))
    given = obtain(entry, web, prompts, tmp_path, "train")
    probe = prepare_train(name, tmp_path / "probe", test=tmp_path / "task", **given)
    assert Task.read(tmp_path / "probe") == probe and probe.train.examples == 8
    assert probe.train.sha256 == sha256(tmp_path / "probe/train.tar")
    assert probe.sha256 == sha256(tmp_path / "probe/test.tar")
    found = read_images(tmp_path / "probe/train.tar").labels
    assert found.tolist() == [truth(entry, number) for number in range(8)]


def test_validation_pictures_are_drawn_from_every_class_and_leave_some():
    labels = [0] * 10 + [1] * 5 + [2]
    chosen = held_out(labels, share=0.2, seed=3)
    assert [chosen[:10].sum(), chosen[10:15].sum(), chosen[15]] == [2, 1, 0]
    assert np.array_equal(chosen, held_out(labels, share=0.2, seed=3))
    assert not np.array_equal(chosen, held_out(labels, share=0.2, seed=4))


def test_frames_of_one_video_are_kept_together(web, prompts, tmp_path):
    prepare_task("ucf101", tmp_path / "task", **obtain(ENTRIES["ucf101"], web, prompts, tmp_path))
    found = read_images(tmp_path / "task/test.tar").metadata
    assert [facts["cluster"][-3:] for facts in found] == [f"g0{1 + i // 2}" for i in range(8)][:8]


def test_pictures_keep_the_bytes_of_their_source(web, prompts, tmp_path):
    prepare_task("food101", tmp_path / "task", **obtain(ENTRIES["food101"], web, prompts, tmp_path))
    kept = {key: files for key, files in read_tar(tmp_path / "task/test.tar")}
    raw: Path = tmp_path / "raw/test"
    source = {key: files for shard in ("0", "1") for key, files in read_tar(raw / f"{shard}.tar")}
    assert {k: v["jpg"] for k, v in kept.items()} == {k: v["jpg"] for k, v in source.items()}


def test_absent_clips_of_kinetics_are_told(web, prompts, tmp_path):
    given = obtain(ENTRIES["kinetics700"], web, prompts, tmp_path)
    task = prepare_task("kinetics700", tmp_path / "task", **given)
    assert "8 of 10 listed clips are there" in task.note


@pytest.mark.parametrize(
    ("name", "split", "report"),
    [
        ("eurosat", "VTAB test", "val"),
        ("resisc45", "VTAB test", "test"),
        ("caltech101", "VTAB test", "test"),
        ("pcam", "test", "val"),
        ("kitti", "VTAB test", "val"),
        ("sun397", "all images", "test"),
        ("food101", "test", None),
    ],
)
def test_a_split_that_is_not_the_reports_says_so(name, split, report, web, prompts, tmp_path):
    task = prepare_task(name, tmp_path / "t", **obtain(ENTRIES[name], web, prompts, tmp_path))
    assert (task.split, task.report_split) == (split, report)
    assert report is None or ENTRIES[name].note in task.note
