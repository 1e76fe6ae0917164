import numpy as np
import pytest
from PIL import Image

from clip_mamba.data.folder_task import build_folder_task, find_pictures
from clip_mamba.data.tasks import Task


@pytest.fixture
def folder(tmp_path):
    for kind, colour in (("red_thing", (255, 0, 0)), ("blue_thing", (0, 0, 255))):
        (tmp_path / "own" / kind).mkdir(parents=True)
        for number in range(3):
            Image.new("RGB", (20, 20), colour).save(tmp_path / "own" / kind / f"{number}.png")
    (tmp_path / "own/red_thing/notes.txt").write_text("no picture")
    return tmp_path / "own"


def test_a_class_is_named_like_its_folder(folder, tmp_path):
    build_folder_task(folder, tmp_path / "task", name="own", templates=["a {}."])
    task = Task.read(tmp_path / "task")
    assert task.classes == [["blue thing"], ["red thing"]]
    assert (task.examples, task.chance, task.majority) == (6, 0.5, 0.5)
    from clip_mamba.data.tasks import read_images

    images = read_images(tmp_path / "task/test.tar", expected_sha256=task.sha256)
    colours = [np.asarray(image)[0, 0].tolist() for image in images.images]
    assert colours == [[0, 0, 255]] * 3 + [[255, 0, 0]] * 3
    assert images.labels.tolist() == [0, 0, 0, 1, 1, 1]


def test_a_broken_picture_is_named(folder, tmp_path):
    (folder / "red_thing/bad.jpg").write_bytes(b"not a picture")
    with pytest.raises(ValueError, match=r"bad\.jpg cannot be read"):
        build_folder_task(folder, tmp_path / "task", name="own", templates=["a {}."])


def test_an_empty_class_is_named(folder, tmp_path):
    (folder / "green_thing").mkdir()
    with pytest.raises(ValueError, match="'green_thing' has no picture"):
        build_folder_task(folder, tmp_path / "task", name="own", templates=["a {}."])


def test_hidden_folders_are_no_classes(tmp_path):
    for name in ("cat", "dog", ".ipynb_checkpoints"):
        (tmp_path / name).mkdir()
        Image.new("RGB", (4, 4)).save(tmp_path / name / "a.png")
    assert list(find_pictures(tmp_path)) == ["cat", "dog"]
