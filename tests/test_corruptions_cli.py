"""``corrupt`` from the command line."""

import argparse

import numpy as np
import pytest
from PIL import Image

from clip_mamba.corruptions import cli


@pytest.fixture
def photo(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (20, 24, 3), dtype=np.uint8)
    path = tmp_path / "photo.png"
    Image.fromarray(pixels).save(path)
    return path


def test_a_file(photo, tmp_path):
    out = tmp_path / "new" / "out.png"
    assert cli.main([str(photo), str(out), "--condition", "contrast", "--level", "0.05"]) == 0
    pixels = np.asarray(Image.open(out))
    assert pixels.shape == (20, 24, 3)
    assert np.ptp(pixels) <= 0.05 * 255 + 1


def test_a_folder_reproducibly(photo, tmp_path):
    for name in ("one", "two"):
        command = [str(photo.parent), str(tmp_path / name), "--condition", "uniform-noise"]
        assert cli.main([*command, "--level", "0.1", "--seed", "3"]) == 0
    one, two = ((tmp_path / name / "photo.png").read_bytes() for name in ("one", "two"))
    assert one == two


def test_a_transparent_picture_and_a_texture(photo, tmp_path):
    pixels = np.zeros((16, 16, 4), np.uint8)
    pixels[4:12, 4:12] = 255
    Image.fromarray(pixels).save(tmp_path / "cut.png")
    out = tmp_path / "out.png"
    assert cli.main([str(tmp_path / "cut.png"), str(out), "--condition", "silhouette"]) == 0
    assert (np.asarray(Image.open(out))[4:12, 4:12] == 0).all()
    command = [str(tmp_path / "cut.png"), str(out), "--condition", "cue-conflict"]
    assert cli.main([*command, "--texture", str(photo)]) == 0
    assert np.asarray(Image.open(out))[6:10, 6:10].std() > 10


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["photo.png", "o.png", "--condition", "contrst", "--level", "1"], "'contrast'"),
        (["photo.png", "o.png", "--condition", "contrast"], "needs --level"),
        (["absent.png", "o.png", "--condition", "edge"], "absent.png"),
        (["text.png", "o.png", "--condition", "edge"], "not a picture"),
        (["empty", "o", "--condition", "edge"], "no picture"),
        (["twice", "o", "--condition", "edge"], "a.bmp and a.png would both become a.png"),
        (["photo.png", "o.png", "--condition", "cue-conflict"], "texture"),
    ],
)
def test_bad_input_is_one_line(photo, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(photo.parent)
    (photo.parent / "text.png").write_text("no picture")
    (photo.parent / "empty").mkdir()
    (photo.parent / "twice").mkdir()
    for name in ("a.png", "a.bmp"):
        Image.open(photo).save(photo.parent / "twice" / name)
    assert cli.main(arguments) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not (photo.parent / "o.png").exists() and not (photo.parent / "o").exists()


def test_as_a_command_of_another_parser(photo, tmp_path):
    parser = argparse.ArgumentParser()
    cli.add_corrupt_command(parser.add_subparsers())
    out = tmp_path / "out.png"
    arguments = parser.parse_args(["corrupt", str(photo), str(out), "--condition", "edge"])
    assert arguments.run(arguments) == 0
    assert out.exists()
