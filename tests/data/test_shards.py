import json
import shutil

import numpy as np
import pytest
from PIL import Image

from clip_mamba.data.render import to_png
from clip_mamba.data.shards import digest, read_tar, read_training, to_json, write_shards, write_tar

PNG = to_png(Image.new("RGB", (4, 4), "red"))


def sample(number: int, png: bytes = PNG) -> tuple[str, dict[str, bytes]]:
    return f"s{number}", {"png": png, "json": to_json({"captions": ["a"], "concept": str(number)})}


def index(folder, samples) -> None:
    shards = write_shards(folder, samples, per_shard=3)
    table = {"shards": shards, "sha256": digest(shards), "pairs": len(samples)}
    (folder / "index.json").write_text(json.dumps(table))


def test_round_trip_in_order(tmp_path):
    index(tmp_path, [sample(n) for n in range(7)])
    data = read_training(tmp_path / "index.json")
    assert data.images.shape == (7, 4, 4, 3) and not data.corrupt
    assert [facts["concept"] for facts in data.metadata] == list("0123456")
    assert (data.images[..., 0] == 255).all() and data.images.dtype == np.uint8


@pytest.mark.parametrize("bad", [b"", b"no picture", PNG[: len(PNG) // 2]])
def test_corrupt_picture_is_skipped_and_counted(tmp_path, bad):
    index(tmp_path, [sample(0), sample(1, bad), sample(2)])
    data = read_training(tmp_path / "index.json")
    assert data.corrupt == ["000000.tar:s1"] and len(data.images) == len(data.metadata) == 2


def test_truncated_shard_is_refused_with_both_checksums(tmp_path):
    index(tmp_path, [sample(n) for n in range(4)])
    shard = tmp_path / "000001.tar"
    shard.write_bytes(shard.read_bytes()[:700])
    with pytest.raises(ValueError, match=r"000001\.tar is truncated.*expected sha256 .*found"):
        read_training(tmp_path / "index.json")


def test_missing_shard_is_named(tmp_path):
    index(tmp_path, [sample(0)])
    (tmp_path / "000000.tar").unlink()
    with pytest.raises(ValueError, match="missing"):
        read_training(tmp_path / "index.json")


def test_truncated_tar_without_index_is_refused(tmp_path):
    write_tar(tmp_path / "a.tar", [sample(0)])
    content = (tmp_path / "a.tar").read_bytes()
    (tmp_path / "b.tar").write_bytes(content[:540])
    with pytest.raises(ValueError, match="truncated"):
        list(read_tar(tmp_path / "b.tar"))


def test_tar_bytes_depend_on_the_samples_alone(tmp_path):
    write_tar(tmp_path / "a.tar", [sample(0), sample(1)])
    write_tar(tmp_path / "b.tar", [sample(0), sample(1)])
    assert (tmp_path / "a.tar").read_bytes() == (tmp_path / "b.tar").read_bytes()


def test_shards_of_an_earlier_build_do_not_stay(tmp_path):
    index(tmp_path, [sample(n) for n in range(7)])
    index(tmp_path, [sample(0)])
    assert [path.name for path in tmp_path.glob("*.tar")] == ["000000.tar"]


def test_webdataset_reads_the_same_samples(tmp_path):
    import webdataset

    write_tar(tmp_path / "a.tar", [sample(0), sample(1)])
    shutil.copy(tmp_path / "a.tar", tmp_path / "b.tar")
    read = list(webdataset.WebDataset(str(tmp_path / "b.tar"), shardshuffle=False))
    assert [entry["__key__"] for entry in read] == ["s0", "s1"] and read[0]["png"] == PNG


@pytest.mark.parametrize("keys", [("img.1", "img.2"), ("x", "x")])
def test_samples_that_would_be_read_as_one_are_refused(keys, tmp_path):
    with pytest.raises(ValueError, match="has a dot, or follows itself"):
        write_tar(tmp_path / "a.tar", [(key, {"png": b"1"}) for key in keys])
    assert not (tmp_path / "a.tar").exists()


def test_a_tar_cut_between_two_members_is_refused(tmp_path):
    path = tmp_path / "a.tar"
    write_tar(path, [(f"s{i}", {"png": b"x" * 600}) for i in range(5)])
    assert len(list(read_tar(path))) == 5
    path.write_bytes(path.read_bytes()[: 3 * (512 + 1024)])
    with pytest.raises(ValueError, match="end mark is missing"):
        list(read_tar(path))
