import json
import tarfile

import pyarrow.parquet as pq
import pytest

from clip_mamba.data.expected import Expected
from clip_mamba.data.shard_index import check_shards, index_shards, merge_indices, report
from clip_mamba.data.shard_names import expand_shards
from clip_mamba.data.shards import to_json, write_tar
from tests.data.small_yfcc import hollow_png, jpeg

CAPTIONS = to_json({"captions": ["a dog", ""]})


def good(number: int) -> tuple[str, dict[str, bytes]]:
    return f"good{number}", {"jpg": jpeg(number), "json": CAPTIONS}


#: What is wrong with a sample, and the reason under which it is counted.
BAD = {
    "no picture": ({"json": CAPTIONS}, "samples without a picture"),
    "no caption": ({"jpg": jpeg(0)}, "samples without a caption"),
    "blank": ({"jpg": jpeg(0), "json": to_json({"captions": [" ", ""]})}, "without a caption"),
    "blank text": ({"jpg": jpeg(0), "txt": b" \n"}, "without a caption"),
    "other json": ({"jpg": jpeg(0), "json": to_json({"caption": "a"})}, "without a caption"),
    "latin-1": ({"jpg": jpeg(0), "txt": "café".encode("latin-1")}, "captions that are not UTF-8"),
    "cut json": ({"jpg": jpeg(0), "json": b'{"captions": ['}, "captions that are no JSON"),
    "no bytes": ({"jpg": b"", "json": CAPTIONS}, "empty pictures"),
    "html": ({"jpg": b"<html>gone</html>", "json": CAPTIONS}, "unreadable pictures"),
    "zero pixels": ({"png": hollow_png(0, 40), "json": CAPTIONS}, "unreadable pictures"),
    "20,000 pixels": ({"png": hollow_png(20_000, 20_000), "json": CAPTIONS}, "too many pixels"),
    "13,000 pixels": ({"png": hollow_png(13_000, 13_000), "json": CAPTIONS}, "too many pixels"),
    "cut off": ({"jpg": jpeg(0)[:-300], "json": CAPTIONS}, "truncated pictures"),
    "cut png": ({"png": hollow_png(4, 4)[:-12], "json": CAPTIONS}, "truncated pictures"),
}


def read(index, row):
    """The two members that a row of the samples points at."""
    table = json.loads((index / "index.json").read_text())
    content = (index / table["shards"][row["shard"]]["name"]).read_bytes()
    parts = [(row[f"{what}_offset"], row[f"{what}_size"]) for what in ("image", "caption")]
    return [content[offset : offset + size] for offset, size in parts]


@pytest.mark.parametrize("trouble", BAD)
def test_a_bad_sample_is_left_out_and_counted(tmp_path, trouble):
    files, reason = BAD[trouble]
    write_tar(tmp_path / "a.tar", [good(0), ("bad", files), good(1)])
    index = index_shards([tmp_path / "a.tar"], tmp_path / "index.json", kind="webdataset")
    ((found, number),) = index["left_out"].items()
    assert reason in found and number == 1
    rows = pq.read_table(tmp_path / "samples.parquet").to_pylist()
    assert [row["key"] for row in rows] == ["good0", "good1"]
    assert read(tmp_path, rows[1]) == [jpeg(1), CAPTIONS]


def test_rows_point_at_pictures_and_captions_of_every_kind(tmp_path):
    text = "un café".encode()
    samples = [
        ("folder.v2/a", {"cls": b"3", "jpeg": jpeg(1), "txt": text}),
        ("folder.v2/b", {"json": to_json({"caption": "x"}), "txt": b"two words", "JPG": jpeg(2)}),
        ("c", {"txt": b"ignored", "json": CAPTIONS, "jpg": jpeg(3)}),
    ]
    write_tar(tmp_path / "a.tar", samples)
    index_shards([tmp_path / "a.tar"], tmp_path / "index.json", kind="webdataset")
    rows = pq.read_table(tmp_path / "samples.parquet").to_pylist()
    assert [row["key"] for row in rows] == ["folder.v2/a", "folder.v2/b", "c"]
    assert [row["caption_format"] for row in rows] == ["txt", "txt", "json"]
    assert [read(tmp_path, row) for row in rows] == [
        [jpeg(1), text],
        [jpeg(2), b"two words"],
        [jpeg(3), CAPTIONS],
    ]


def test_long_names_and_processes_change_nothing(tmp_path):
    paths = [tmp_path / f"{n}.tar" for n in range(3)]
    for number, path in enumerate(paths):
        with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as tar:
            (tmp_path / "x.jpg").write_bytes(jpeg(number))
            (tmp_path / "x.txt").write_bytes(b"a caption")
            for extension in ("jpg", "txt"):
                tar.add(tmp_path / f"x.{extension}", f"{'ü' * 120}{number}.{extension}")
    one = index_shards(paths, tmp_path / "one" / "index.json", kind="webdataset")
    two = index_shards(paths, tmp_path / "two" / "index.json", kind="webdataset", processes=2)
    assert one == two and one["pairs"] == 3
    assert one["shards"][0]["name"] == str(paths[0])  # a user's own shards: absolute


@pytest.mark.parametrize("cut", [300, 512, 1500, 10_240 + 512])
def test_a_truncated_shard_is_refused_with_its_name(tmp_path, cut):
    write_tar(tmp_path / "a.tar", [good(n) for n in range(4)])
    content = (tmp_path / "a.tar").read_bytes()
    assert len(content) > cut + 1024
    (tmp_path / "b.tar").write_bytes(content[:cut])
    with pytest.raises(ValueError, match=r"b\.tar is truncated") as caught:
        index_shards([tmp_path / "b.tar"], tmp_path / "index.json", kind="webdataset")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "index.json").exists() and not (tmp_path / "samples.parquet").exists()


def test_a_shard_without_its_end_mark_is_refused(tmp_path):
    write_tar(tmp_path / "a.tar", [good(0)])
    content = (tmp_path / "a.tar").read_bytes().rstrip(b"\0")
    (tmp_path / "b.tar").write_bytes(content + bytes(-len(content) % 512))
    with pytest.raises(ValueError, match="end mark is missing after 2 files"):
        index_shards([tmp_path / "b.tar"], tmp_path / "index.json", kind="webdataset")


def test_a_missing_and_a_compressed_shard_are_named(tmp_path):
    with pytest.raises(ValueError, match=r"nowhere\.tar is missing"):
        index_shards([tmp_path / "nowhere.tar"], tmp_path / "index.json", kind="webdataset")
    with tarfile.open(tmp_path / "a.tar", "w:gz"):
        pass
    with pytest.raises(ValueError, match=r"a\.tar .* no uncompressed tar"):
        index_shards([tmp_path / "a.tar"], tmp_path / "index.json", kind="webdataset")


@pytest.fixture
def corpus(tmp_path):
    for number in range(2):
        write_tar(tmp_path / f"{number}.tar", [good(2 * number), good(2 * number + 1)])
    shards = sorted(tmp_path.glob("*.tar"))
    return index_shards(shards, tmp_path / "index.json", kind="webdataset")


def test_an_unchanged_corpus_passes(corpus, tmp_path):
    assert check_shards(tmp_path / "index.json", whole=True) == corpus
    assert corpus["checksum"] == "members" and corpus["pairs"] == 4


def test_a_shard_that_vanished_or_was_cut_off_later_is_refused(corpus, tmp_path):
    shard = tmp_path / "1.tar"
    shard.write_bytes(shard.read_bytes()[:4000])
    with pytest.raises(ValueError, match=r"1\.tar is truncated or altered: 4000 bytes, expected"):
        check_shards(tmp_path / "index.json")
    shard.unlink()
    with pytest.raises(ValueError, match=r"1\.tar is missing"):
        check_shards(tmp_path / "index.json")


def test_a_shard_of_the_same_length_with_other_members_is_found_by_its_checksum(corpus, tmp_path):
    shard = tmp_path / "1.tar"
    content = shard.read_bytes()
    write_tar(shard, [(f"else{n}", good(2 + n)[1]) for n in range(2)])
    assert len(shard.read_bytes()) == len(content)
    check_shards(tmp_path / "index.json")
    with pytest.raises(ValueError, match=r"1\.tar is altered"):
        check_shards(tmp_path / "index.json", whole=True)


def test_indices_join_with_their_counts_and_places(tmp_path):
    parts = []
    for part in ("b", "a"):
        folder = tmp_path / part
        write_tar(folder / "0.tar", [good(len(parts)), ("bad", {"jpg": b"", "json": CAPTIONS})])
        index_shards([folder / "0.tar"], folder / "index.json", kind="yfcc15m", left_out={"x": 2})
        parts.append(folder / "index.json")
    index = merge_indices(parts, tmp_path / "index.json", kind="yfcc15m", left_out={"y": 1})
    assert index["left_out"] == {"x": 4, "empty pictures": 2, "y": 1}
    assert [shard["name"] for shard in index["shards"]] == ["b/0.tar", "a/0.tar"]
    rows = pq.read_table(tmp_path / "samples.parquet").to_pylist()
    assert [row["shard"] for row in rows] == [0, 1]
    assert [read(tmp_path, row)[0] for row in rows] == [jpeg(0), jpeg(1)]
    check_shards(tmp_path / "index.json", whole=True)
    assert "  left out: 4 x" in report(index)


def test_a_limit_ends_within_a_shard(tmp_path):
    for number in range(3):
        write_tar(tmp_path / f"{number}.tar", [good(2 * number), good(2 * number + 1)])
    shards = sorted(tmp_path.glob("*.tar"))
    index = index_shards(shards, tmp_path / "index.json", kind="webdataset", limit=3)
    assert [shard["pairs"] for shard in index["shards"]] == [2, 1] and index["pairs"] == 3


def test_another_number_of_pairs_than_expected_is_refused(corpus, tmp_path):
    shards = sorted(tmp_path.glob("*.tar"))
    settings = {"kind": "webdataset", "expected": Expected(5, 0.2)}
    index_shards(shards, tmp_path / "new" / "index.json", **settings)
    with pytest.raises(ValueError, match="4 pairs, expected 5 within 10%"):
        index_shards(shards, tmp_path / "n.json", kind="webdataset", expected=Expected(5, 0.1))
    assert not (tmp_path / "n.json").exists()


def test_a_corpus_without_a_pair_is_refused(tmp_path):
    write_tar(tmp_path / "a.tar", [("bad", {"jpg": b"", "json": CAPTIONS})])
    with pytest.raises(ValueError, match=r"no pair is left \(left out: 1 empty pictures\)"):
        index_shards([tmp_path / "a.tar"], tmp_path / "index.json", kind="webdataset")


def test_shards_are_named_by_braces_or_wildcards(tmp_path):
    for number in (1, 0):
        (tmp_path / f"{number:03d}.tar").touch()
    two = [tmp_path / "000.tar", tmp_path / "001.tar"]
    assert expand_shards(f"{tmp_path}/*.tar") == two
    assert expand_shards(f"{tmp_path}/{{000..001}}.tar") == two
    assert expand_shards([f"{tmp_path}/001.tar", f"{tmp_path}/*.tar"]) == two[::-1]
    # Braces name files, which may be missing: then the index says which.
    assert len(expand_shards(f"{tmp_path}/{{000..009}}.tar")) == 10
    with pytest.raises(ValueError, match="no file matches"):
        expand_shards(f"{tmp_path}/*.tgz")
    with pytest.raises(ValueError, match="a brace without its other"):
        expand_shards(f"{tmp_path}/{{000..001.tar")
