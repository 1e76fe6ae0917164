import base64
import json
import os

import pytest

from clip_mamba.data.pairs import open_pairs
from clip_mamba.data.shard_index import merge_indices
from clip_mamba.data.tsv_corpus import convert
from clip_mamba.data.tsv_files import image_files
from tests.data.small_yfcc import jpeg


def write_corpus(folder, files=2, per_file=5):
    """The reference's layout: base64 lines, and annotations that point at their first bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(files):
        annotations, offset = [], 0
        with open(folder / f"train-image-{number:02d}.tsv", "wb") as file:
            for i in range(per_file):
                line = f"{number}{i}.jpg\t".encode() + base64.b64encode(jpeg(per_file * number + i))
                file.write(line + b"\n")
                captions = [f"title {number} {i}", "" if i == 1 else f"text {number} {i}"]
                # The reference reads the pointer with int(): numbers and strings occur.
                pointer = str(offset) if i % 2 else offset
                entry = {"img_location": number, "lineidx_ptr": pointer, "caption": captions}
                annotations.append(entry)
                offset += len(line) + 1
        path = folder / f"train-annos-2caps-{number:02d}.json"
        path.write_text(json.dumps(annotations) + "\n")
    return folder


@pytest.fixture
def corpus(tmp_path):
    return write_corpus(tmp_path / "corpus")


def annotations(corpus, number=0):
    return corpus / f"train-annos-2caps-{number:02d}.json"


def test_pictures_and_captions_arrive_in_order(corpus, tmp_path):
    parts = [tmp_path / f"part-{n}" for n in range(2)]
    for number, part in enumerate(parts):
        index = convert(corpus, number, part, per_shard=2, processes=2)
        assert [shard["pairs"] for shard in index["shards"]] == [2, 2, 1]
    merge_indices([part / "index.json" for part in parts], tmp_path / "index.json", kind="tsv")
    pairs = open_pairs(tmp_path / "index.json")
    assert len(pairs) == 10
    assert [pairs.captions(i)[0] for i in range(10)] == [
        f"title {n} {i}" for n in range(2) for i in range(5)
    ]
    assert pairs.captions(1) == ["title 0 1"]
    assert pairs._read(7, "image") == jpeg(7)


def test_files_are_counted_by_number(tmp_path):
    for number in ("10", "9", "000"):
        (tmp_path / f"train-image-{number}.tsv").touch()
    names = [path.name for path in image_files(tmp_path)]
    assert names == [f"train-image-{n}.tsv" for n in ("000", "9", "10")]


def test_annotations_may_point_into_another_file(corpus, tmp_path):
    entries = json.loads(annotations(corpus).read_text())
    annotations(corpus).write_text(json.dumps([entry | {"img_location": 1} for entry in entries]))
    convert(corpus, 0, tmp_path / "part")
    assert open_pairs(tmp_path / "part" / "index.json")._read(0, "image") == jpeg(5)


def test_bad_lines_are_left_out_and_counted(corpus, tmp_path):
    images = corpus / "train-image-00.tsv"
    lines = images.read_bytes().splitlines(keepends=True)
    lines[0] = lines[0].replace(b"\t", b"_")
    lines[2] = lines[2][:100] + b"*" + lines[2][101:]
    html = base64.b64encode(b"<html>gone</html>")
    lines[3] = b"3.jpg\t" + html + b"\n"
    pointers = [sum(map(len, lines[:i])) for i in range(5)]
    images.write_bytes(b"".join(lines))
    entries = json.loads(annotations(corpus).read_text())
    for entry, pointer in zip(entries, pointers, strict=True):
        entry["lineidx_ptr"] = pointer
    entries[4]["caption"] = ["", None]
    annotations(corpus).write_text(json.dumps(entries))
    index = convert(corpus, 0, tmp_path / "part")
    assert index["pairs"] == 1
    assert index["left_out"] == {
        "both captions empty": 1,
        "lines that are no base64": 1,
        "lines without a tab": 1,
        "unreadable pictures": 1,
    }


def test_a_truncated_file_of_pictures_is_refused_with_its_name(corpus, tmp_path):
    images = corpus / "train-image-00.tsv"
    content = images.read_bytes()
    images.write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match=r"train-image-00\.tsv is truncated") as caught:
        convert(corpus, 0, tmp_path / "part")
    assert "\n" not in str(caught.value) and not (tmp_path / "part" / "index.json").exists()


def test_a_missing_file_of_pictures_is_named(corpus, tmp_path):
    (corpus / "train-image-01.tsv").unlink()
    entries = json.loads(annotations(corpus).read_text())
    annotations(corpus).write_text(json.dumps([entry | {"img_location": 1} for entry in entries]))
    with pytest.raises(ValueError, match="picture file number 1, but .* has 1"):
        convert(corpus, 0, tmp_path / "part")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b'[{"img_location": 0', "is truncated or no JSON"),
        (b"\xff\xfe", "is truncated or no JSON"),
        (b'{"a": 1}', "is no list of img_location"),
        (b'[{"img_location": 0, "caption": []}]', "is no list of img_location"),
    ],
)
def test_broken_annotations_are_named(corpus, tmp_path, content, said):
    annotations(corpus).write_bytes(content)
    with pytest.raises(ValueError, match=rf"train-annos-2caps-00\.json.* {said}"):
        convert(corpus, 0, tmp_path / "part")


def test_missing_annotations_and_folders_are_named(corpus, tmp_path):
    annotations(corpus, 1).unlink()
    with pytest.raises(ValueError, match=r"train-annos-2caps-01\.json is missing"):
        convert(corpus, 1, tmp_path / "part")
    with pytest.raises(ValueError, match=r"has no train-image-\*\.tsv"):
        convert(tmp_path, 0, tmp_path / "part")


def test_a_conversion_goes_on_behind_complete_shards(corpus, tmp_path, capsys):
    part = tmp_path / "part"
    index = convert(corpus, 0, part, per_shard=2)
    shards = sorted((part / "shards").glob("*.tar"))
    times = [path.stat().st_mtime_ns for path in shards]
    # As after a kill while the last shard was written.
    shards[2].unlink()
    (part / "shards" / "00002_left_out.json").unlink()
    assert convert(corpus, 0, part, per_shard=2) == index
    assert [path.stat().st_mtime_ns for path in shards[:2]] == times[:2]
    # Another corpus under the same names: nothing of the old one stays.
    os.utime(corpus / "train-image-00.tsv", (1, 1))
    convert(corpus, 0, part, per_shard=2)
    assert "the corpus has changed" in capsys.readouterr().out
    assert shards[0].stat().st_mtime_ns != times[0]


def test_a_limit_takes_the_first_annotations(corpus, tmp_path):
    assert convert(corpus, 0, tmp_path / "part", limit=3)["pairs"] == 3
