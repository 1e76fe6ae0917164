import json

import pytest

from clip_mamba.data.retrieval_sets import RetrievalSet, fetch_retrieval, prepare_retrieval
from clip_mamba.data.shards import read_tar
from clip_mamba.data.zeroshot_sets.table import read_retrieval_entries
from clip_mamba.files import sha256
from tests.data.zeroshot.miniatures import picture, put_retrieval
from tests.data.zeroshot.test_bad_input import write_shard

NAMES = list(read_retrieval_entries())


def prepare(name, tmp_path):
    fetch_retrieval(name, tmp_path / "raw/test.json")
    return prepare_retrieval(name, tmp_path / "set", manifest=tmp_path / "raw/test.json")


@pytest.mark.parametrize("name", NAMES)
def test_set_is_fetched_and_prepared(name, web, tmp_path):
    put_retrieval(web, name)
    found = prepare(name, tmp_path)
    assert RetrievalSet.read(tmp_path / "set") == found
    assert (found.images, found.captions, found.unreadable) == (8, 16, 0)
    assert "8 pictures and 16 captions where" in found.note
    assert found.sha256 == sha256(tmp_path / "set/test.tar")
    samples = dict(read_tar(tmp_path / "set/test.tar"))
    assert samples["s0000003"]["jpg"] == picture(3, "jpg")
    captions = json.loads(samples["s0000003"]["json"])["captions"]
    assert captions == ["caption <3> of picture", "again <3> in two lines"]


@pytest.mark.parametrize(
    ("samples", "said"),
    [
        ([("s1.jpg", picture(0, "jpg")), ("s1.txt", b"\n \n")], "no caption"),
        ([("s1.jpg", b"no picture"), ("s1.txt", b"a cat")], "1 of 1 pictures cannot be read"),
        ([("s1.txt", b"a cat")], "no picture"),
        ([("../s1.jpg", picture(0, "jpg")), ("../s1.txt", b"a cat")], "leaves the folder"),
    ],
)
def test_a_bad_sample(samples, said, web, tmp_path):
    put_retrieval(web, "flickr30k")
    base = read_retrieval_entries()["flickr30k"].source
    web.put(f"{base}/test/nshards.txt", "1\n")
    write_shard(web.path(f"{base}/test/0.tar"), samples)
    with pytest.raises(ValueError, match=said):
        prepare("flickr30k", tmp_path)


def test_an_unknown_set_names_the_nearest(tmp_path):
    with pytest.raises(ValueError, match="Did you mean 'flickr30k'"):
        fetch_retrieval("flickr30", tmp_path / "test.json")


def test_a_missing_or_odd_description_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"retrieval\.json is missing"):
        RetrievalSet.read(tmp_path / "retrieval.json")
    (tmp_path / "retrieval.json").write_text('{"name": "x"}')
    with pytest.raises(ValueError, match=r"retrieval\.json: title"):
        RetrievalSet.read(tmp_path)
