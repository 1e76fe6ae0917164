"""Damaged, hostile, incomplete and absent sources."""

import io
import json
import tarfile

import pytest

from clip_mamba.data.archives import UnsafeArchive
from clip_mamba.data.fetch import FetchError
from clip_mamba.data.tasks import Task
from clip_mamba.data.zeroshot_sets.pictures import Checked, Picture, Unreadable
from clip_mamba.data.zeroshot_sets.prepare import fetch_task, prepare_task, prepare_train
from clip_mamba.data.zeroshot_sets.prompts import SLIP, fetch_prompts, read_prompts
from clip_mamba.data.zeroshot_sets.table import find_entry, read_entries
from tests.data.zeroshot.miniatures import (
    picture,
    put_cub,
    put_hateful_memes,
    put_kinetics,
    put_mirror,
    put_ucf101,
)

ENTRIES = read_entries()
MNIST = ENTRIES["mnist"]


def write_shard(path, samples):
    with tarfile.open(path, "w") as tar:
        for name, content in samples:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))


def mirror_of(web, samples):
    """MNIST's mirror with one shard that holds just these files."""
    put_mirror(web, MNIST)
    web.put(f"{MNIST.source[0]}/test/nshards.txt", "1\n")
    write_shard(web.path(f"{MNIST.source[0]}/test/0.tar"), samples)


def prepare(web, prompts, tmp_path, name="mnist"):
    fetch_task(name, tmp_path / "raw/test.json")
    return prepare_task(
        name, tmp_path / "task", prompts=prompts, manifest=tmp_path / "raw/test.json"
    )


def many(count, bad):
    """So many samples, the first ones with a damaged picture."""
    good = picture(0)
    for number in range(count):
        image = good[:40] if number < bad else good
        yield from [(f"s{number:07d}.png", image), (f"s{number:07d}.cls", b"3")]


def test_an_interrupted_download_goes_on_where_it_was(web, prompts, tmp_path):
    put_mirror(web, MNIST)
    shard = web.path(f"{MNIST.source[0]}/test/1.tar")
    place = web.place(f"{MNIST.source[0]}/test/1.tar")
    web.server.cuts[place] = 1500
    fetch_task("mnist", tmp_path / "raw/test.json")
    assert (tmp_path / "raw/test/1.tar").read_bytes() == shard.read_bytes()
    assert web.server.requests[place] == 2


def test_a_later_attempt_fetches_only_what_is_missing(web, prompts, tmp_path):
    put_mirror(web, MNIST)
    shard = web.path(f"{MNIST.source[0]}/test/1.tar")
    content = shard.read_bytes()
    shard.unlink()
    with pytest.raises(FetchError, match=r"test/1\.tar: the server answered 404"):
        fetch_task("mnist", tmp_path / "raw/test.json")
    assert not (tmp_path / "raw/test.json").exists()
    shard.write_bytes(content)
    fetch_task("mnist", tmp_path / "raw/test.json")
    assert web.server.requests[web.place(f"{MNIST.source[0]}/test/0.tar")] == 1


def test_a_file_that_changed_since_its_first_use_is_refused(web, prompts, tmp_path):
    put_mirror(web, MNIST)
    fetch_task("mnist", tmp_path / "raw/test.json")
    shard = web.path(f"{MNIST.source[0]}/test/0.tar")
    shard.write_bytes(shard.read_bytes() + b"\0" * 512)
    with pytest.raises(FetchError, match="refused") as caught:
        fetch_task("mnist", tmp_path / "elsewhere/test.json")
    assert str(caught.value).count("bytes") == 2
    assert not (tmp_path / "elsewhere/test/0.tar").exists()


def test_a_download_damaged_on_the_disk_is_fetched_anew(web, prompts, tmp_path):
    put_mirror(web, MNIST)
    fetch_task("mnist", tmp_path / "raw/test.json")
    shard = tmp_path / "raw/test/0.tar"
    whole = shard.read_bytes()
    shard.write_bytes(whole[:-700])
    with pytest.raises(ValueError, match=r"0\.tar is missing or altered"):
        prepare_task("mnist", tmp_path / "t", prompts=prompts, manifest=tmp_path / "raw/test.json")
    fetch_task("mnist", tmp_path / "raw/test.json")
    assert shard.read_bytes() == whole


def test_a_few_unreadable_pictures_are_left_out_and_counted(web, prompts, tmp_path):
    mirror_of(web, many(1000, bad=1))
    task = prepare(web, prompts, tmp_path)
    assert (task.examples, task.unreadable) == (999, 1)


def test_more_than_a_thousandth_fails_the_task(web, prompts, tmp_path):
    mirror_of(web, many(1999, bad=2))
    with pytest.raises(ValueError, match=r"2 of 1999 pictures cannot be read.*s0000000"):
        prepare(web, prompts, tmp_path)
    assert not (tmp_path / "task/task.json").exists()
    assert not (tmp_path / "task/test.tar").exists()


@pytest.mark.parametrize(
    ("samples", "said"),
    [
        ([("s1.png", picture(0)), ("s1.cls", b"10")], "s1 has label 10, outside 0 to 9"),
        ([("s1.png", picture(0)), ("s1.cls", b"-1")], "s1 has label -1"),
        ([("s1.png", picture(0))], r"1 of 1 pictures cannot be read.*no label"),
        ([("s1.txt", b"x"), ("s1.cls", b"1")], "no picture"),
        ([("../../s1.png", picture(0)), ("../../s1.cls", b"1")], "leaves the folder"),
        ([("/s1.png", picture(0)), ("/s1.cls", b"1")], "leaves the folder"),
        ([], "no picture in its source"),
    ],
)
def test_a_bad_sample_of_a_mirror(samples, said, web, prompts, tmp_path):
    mirror_of(web, samples)
    with pytest.raises(ValueError, match=said):
        prepare(web, prompts, tmp_path)


def test_a_key_that_comes_twice_is_refused():
    twice = [Picture("s1", "png", picture(0), 1), Picture("s1", "png", picture(1), 2)]
    with pytest.raises(ValueError, match="'s1' comes twice"):
        list(Checked("mnist", 10).samples(twice))


def test_order_is_kept_however_many_threads_decode():
    mixed = [
        Unreadable(f"s{i}", "gone") if i == 1500 else Picture(f"s{i}", "png", picture(i % 8), i % 5)
        for i in range(3000)
    ]
    checked = Checked("mnist", 10)
    keys = [key for key, _ in checked.samples(mixed, threads=4)]
    assert keys == [f"s{i}" for i in range(3000) if i != 1500]
    assert checked.unreadable == ["s1500 (gone)"]


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ("", "no class names"),
        ("a\nb\n", "names 2 classes, SLIP 10"),
        ("\n".join("abcdefghij"), "only 0 of the source's 10 class names"),
    ],
)
def test_missing_or_foreign_class_names_of_a_mirror(names, said, web, prompts, tmp_path):
    put_mirror(web, MNIST)
    web.put(f"{MNIST.source[0]}/classnames.txt", names)
    with pytest.raises(ValueError, match=said):
        prepare(web, prompts, tmp_path)


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        ({"cifar10": ["a"]}, "nothing for 'mnist'; known: cifar10"),
        ({"mnist": ["0", "1"]}, "2 class names, but the task has 10 classes"),
        ({"mnist": [*"012345678", " "]}, r"no names for the classes \[9\]"),
    ],
)
def test_missing_class_names_of_slip(labels, said, web, tmp_path):
    web.put(f"{SLIP}/labels.json", json.dumps(labels))
    fetch_prompts(tmp_path / "slip")
    with pytest.raises(ValueError, match=said):
        read_prompts(tmp_path / "slip", "mnist", 10)


def test_slips_files_are_checked_against_what_is_on_record(web, monkeypatch, tmp_path):
    monkeypatch.delenv("CLIP_MAMBA_CHECKSUMS")
    with pytest.raises(FetchError, match="c168feecd3d2af59c3905b717eb0e7015b2d286b929b56a7f44a"):
        fetch_prompts(tmp_path / "slip")


@pytest.mark.parametrize("number", ["", "0", "two", "-1"])
def test_a_number_of_shards_that_is_none(number, web, tmp_path):
    put_mirror(web, MNIST)
    web.put(f"{MNIST.source[0]}/test/nshards.txt", number)
    with pytest.raises(ValueError, match="is no number of shards"):
        fetch_task("mnist", tmp_path / "raw/test.json")


def test_a_shard_that_ends_early(web, prompts, tmp_path):
    put_mirror(web, MNIST)
    shard = web.path(f"{MNIST.source[0]}/test/0.tar")
    shard.write_bytes(shard.read_bytes()[:700])
    with pytest.raises(ValueError, match="truncated"):
        prepare(web, prompts, tmp_path)


def test_an_archive_with_a_path_outside_its_folder_is_refused(web, prompts, tmp_path):
    put_cub(web, ENTRIES["cub"], {"../../evil.txt": b"x"})
    with pytest.raises(UnsafeArchive, match="evil"):
        prepare(web, prompts, tmp_path, "cub")
    assert not list(tmp_path.rglob("evil.txt"))


def test_an_archive_that_is_not_cub(web, prompts, tmp_path):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz"):
        pass
    web.put(ENTRIES["cub"].source[0], buffer.getvalue())
    with pytest.raises(ValueError, match=r"no classes\.txt; it is not CUB"):
        prepare(web, prompts, tmp_path, "cub")


def test_damaged_clips_are_counted(web, prompts, tmp_path):
    entry = ENTRIES["kinetics700"]
    folder = put_kinetics(tmp_path / "mine", entry)
    next(folder.rglob("*.mp4")).write_bytes(b"no video")
    with pytest.raises(ValueError, match="1 of 8 pictures cannot be read"):
        prepare_task("kinetics700", tmp_path / "task", prompts=prompts, folder=folder)


def test_an_unknown_class_of_a_clip_is_named(web, prompts, tmp_path):
    folder = put_kinetics(tmp_path / "mine", ENTRIES["kinetics700"])
    text = (folder / "val.csv").read_text().replace("no 310", "no 3100")
    (folder / "val.csv").write_text(text)
    with pytest.raises(ValueError, match="SLIP has no class 'kind kinetics700 no 3100'"):
        prepare_task("kinetics700", tmp_path / "task", prompts=prompts, folder=folder)


@pytest.mark.parametrize("text", ["label,id\na,b\n", "label,youtube_id,time_start,time_end\na,b\n"])
def test_a_list_of_clips_that_is_none(text, web, prompts, tmp_path):
    folder = put_kinetics(tmp_path / "mine", ENTRIES["kinetics700"])
    (folder / "val.csv").write_text(text)
    with pytest.raises(ValueError, match=r"val\.csv, line 2: needs label, youtube_id"):
        prepare_task("kinetics700", tmp_path / "task", prompts=prompts, folder=folder)


@pytest.mark.parametrize("name", ["kinetics700", "hateful-memes"])
def test_an_absent_gated_set_says_what_to_do(name, web, prompts, tmp_path):
    task = prepare_task(name, tmp_path / "task", prompts=prompts)
    assert Task.read(tmp_path / "task") == task and task.examples == 0
    assert f"gated: {name} in config.yaml" in task.missing and "is not public" in task.missing
    assert not (tmp_path / "task/test.tar").exists()


def test_probing_an_absent_gated_set_is_missing_too(web, prompts, tmp_path):
    prepare_task("hateful-memes", tmp_path / "task", prompts=prompts)
    prepare_train("hateful-memes", tmp_path / "probe", test=tmp_path / "task", prompts=prompts)
    assert Task.read(tmp_path / "probe").missing


def test_a_gated_set_cannot_be_fetched(tmp_path):
    with pytest.raises(ValueError, match="Kinetics700 is not public"):
        fetch_task("kinetics700", tmp_path / "test.json")


@pytest.mark.parametrize(
    ("name", "said"),
    [("kinetics700", r"no val\.csv"), ("hateful-memes", r"no dev\.jsonl or dev_seen\.jsonl")],
)
def test_a_folder_without_the_set(name, said, web, prompts, tmp_path):
    (tmp_path / "mine").mkdir()
    with pytest.raises(ValueError, match=said):
        prepare_task(name, tmp_path / "task", prompts=prompts, folder=tmp_path / "mine")
    with pytest.raises(ValueError, match="there is no folder"):
        prepare_task(name, tmp_path / "task", prompts=prompts, folder=tmp_path / "none")


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"img": "../secret.png", "label": 1}, r"line 9: \.\./secret\.png leaves the folder"),
        ({"img": "img/00000.png"}, "line 9: no img and label"),
        ({"img": "img/00001.png", "label": 2}, "outside 0 to 1|comes twice"),
    ],
)
def test_bad_lines_of_hateful_memes(row, said, web, prompts, tmp_path):
    folder = put_hateful_memes(tmp_path / "mine", ENTRIES["hateful-memes"])
    with open(folder / "dev.jsonl", "a") as file:
        file.write("\n" + json.dumps(row))
    with pytest.raises(ValueError, match=said):
        prepare_task("hateful-memes", tmp_path / "task", prompts=prompts, folder=folder)


def test_a_task_without_training_pictures_says_which_have_some(tmp_path):
    with pytest.raises(ValueError, match="sun397 has no training pictures.*These can: food101"):
        fetch_task("sun397", tmp_path / "train.json", "train")


def test_a_probe_is_not_tested_on_other_pictures_than_the_tables(web, prompts, tmp_path):
    put_ucf101(web, ENTRIES["ucf101"])
    task = prepare(web, prompts, tmp_path, "ucf101")
    task.model_copy(update={"split": "another"}).write(tmp_path / "task/task.json")
    with pytest.raises(ValueError, match="tested on what it was trained on"):
        prepare_train("ucf101", tmp_path / "probe", test=tmp_path / "task", prompts=prompts)


def test_an_unknown_task_names_the_nearest():
    with pytest.raises(ValueError, match="Did you mean 'kinetics700'"):
        find_entry("kinetics-700")
