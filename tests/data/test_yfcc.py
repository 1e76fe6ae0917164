import bz2

import pyarrow.parquet as pq
import pytest

from clip_mamba.data.expected import Expected
from clip_mamba.data.yfcc import join, read_list
from clip_mamba.data.yfcc_captions import captions, clean
from clip_mamba.data.yfcc_images import address
from tests.data.small_yfcc import SmallYfcc


@pytest.fixture(scope="module")
def yfcc(tmp_path_factory):
    return SmallYfcc(tmp_path_factory.mktemp("yfcc"))


@pytest.fixture(scope="module")
def listing(yfcc):
    return yfcc.folder / "yfcc100m_subset_data.tsv.bz2"


WRITERS = {
    "25 columns": lambda yfcc: yfcc.write_tsv("later.tsv"),
    "23 columns, bz2": lambda yfcc: yfcc.write_tsv("yfcc100m_dataset-0.bz2", 23),
    "25 columns, gz": lambda yfcc: yfcc.write_tsv("later.tsv.gz"),
    "SQLite": lambda yfcc: yfcc.write_sqlite(),
    "JSON lines": lambda yfcc: yfcc.write_json(),
}


@pytest.mark.parametrize("form", WRITERS)
def test_every_form_of_the_metadata_gives_the_same_pairs(yfcc, listing, tmp_path, form):
    settings = {"images": "flickr", "listed": 40, "min_found": 0.9}
    summary = join(listing, [WRITERS[form](yfcc)], tmp_path / "pairs.parquet", **settings)
    assert summary.pop("sha256")
    assert summary == {
        "listed": 40,
        "pairs": 37,
        "left_out": {
            "listed photos without metadata": 1,
            "videos": 1,
            "title and description empty": 1,
        },
        "repaired": 1,
    }
    rows = {row["photoid"]: row for row in pq.read_table(tmp_path / "pairs.parquet").to_pylist()}
    assert len(rows) == 37
    chosen = [rows[yfcc.photoid(number)] for number in (0, 2, 3, 13)]
    assert [row["captions"] for row in chosen] == [
        ["Photo 0!", "A longer text on photo 0"],
        ["Tom & Jerry <3"],
        ["See my page at"],
        ["Caf bar", "Café"],
    ]
    assert chosen[0]["url"] == yfcc.url(0)


@pytest.mark.parametrize(
    ("field", "text", "valid"),
    [
        ("A+plain%20title", "A plain title", True),
        ("1%2B1%3D2+C%2B%2B", "1+1=2 C++", True),  # a literal plus survives
        ("Tom+%26amp%3B+Jerry", "Tom & Jerry", True),
        ("I+%3C3+you+%26lt%3B3", "I <3 you <3", True),
        ("%3Ca+href%3D%22http%3A%2F%2Fx.y%22+rel%3D%22nofollow%22%3Ehere%3C%2Fa%3E", "here", True),
        ("see+https%3A%2F%2Fx.y%2Fz%3Fa%3D1+and+www.x.y%2Fz+now", "see and now", True),
        ("awwwesome+httpd", "awwwesome httpd", True),
        ("line%0D%0Aline%09tab%00nul", "line line tab nul", True),
        ("%3Cbr%2F%3E%3Cem%3Ehigh%3C%2Fem%3E", "high", True),
        ("Caf%C3%A9", "Café", True),
        ("Caf%E9+au+lait", "Caf au lait", False),
        ("%EF%BF%BD", "", True),
        ("%zz+100%25", "%zz 100%", True),
        ("", "", True),
    ],
)
def test_fields_become_plain_text(field, text, valid):
    assert clean(field) == (text, valid)


def test_equal_captions_count_once_and_empty_ones_not():
    assert captions("A+dog", "A++dog")[0] == ["A dog"]
    assert captions("+", "http%3A%2F%2Fonly.a.link")[0] == []


def test_pictures_come_from_the_bucket_flickr_or_a_mirror():
    hash_ = "ab12cd34ef"
    bucket = address("multimedia-commons", 7, hash_, "http://f/7.jpg")
    assert bucket.endswith(".amazonaws.com/data/images/ab1/2cd/ab12cd34ef.jpg")
    assert address("flickr", 7, hash_, "http://f/7.jpg") == "http://f/7.jpg"
    assert address("http://m/{id}.jpg", 7, hash_, "") == "http://m/7.jpg"


def test_a_limit_takes_the_top_of_the_list(yfcc, listing, tmp_path):
    path = yfcc.write_tsv("later.tsv")
    summary = join(listing, [path], tmp_path / "p.parquet", listed=40, limit=9, min_found=0.9)
    assert summary["listed"] == summary["pairs"] == 9


def test_a_photo_that_two_files_have_counts_once(yfcc, listing, tmp_path):
    paths = [yfcc.write_tsv("later.tsv"), yfcc.write_json()]
    summary = join(listing, paths, tmp_path / "p.parquet", listed=40, min_found=0.9)
    assert summary["pairs"] == 37


def test_a_list_of_another_length_is_refused_and_the_trap_explained(listing):
    with pytest.raises(ValueError, match="40 rows, but OpenAI's list has 14,829,396.*DeCLIP"):
        read_list(listing)


@pytest.mark.parametrize("content", [b"<html>not found</html>", b"1\t2\n", b"a\tb\tc\n"])
def test_another_file_than_the_list_is_refused(tmp_path, content):
    (tmp_path / "list.tsv").write_bytes(content)
    with pytest.raises(ValueError, match=r"list\.tsv is not OpenAI's list"):
        read_list(tmp_path / "list.tsv", listed=None)


def test_a_list_that_is_cut_off_is_refused(listing, tmp_path):
    (tmp_path / "list.tsv.bz2").write_bytes(listing.read_bytes()[:200])
    with pytest.raises(ValueError, match="cut off"):
        read_list(tmp_path / "list.tsv.bz2", listed=None)


def test_metadata_that_knows_too_little_of_the_list_is_refused(yfcc, listing, tmp_path):
    whole = bz2.decompress(yfcc.write_tsv("whole.bz2").read_bytes()).splitlines(keepends=True)
    (tmp_path / "part.tsv").write_bytes(b"".join(whole[:20]))
    with pytest.raises(ValueError, match="the metadata knows 19 of the 40 listed photos"):
        join(listing, [tmp_path / "part.tsv"], tmp_path / "p.parquet", listed=40)
    assert not (tmp_path / "p.parquet").exists()


def test_another_number_of_pairs_than_expected_is_refused(yfcc, listing, tmp_path):
    settings = {"listed": 40, "min_found": 0.9, "expected": Expected(50, 0.02)}
    with pytest.raises(ValueError, match=r"37 pairs, expected 50 within 2%.*set n_pairs"):
        join(listing, [yfcc.write_tsv("m.tsv")], tmp_path / "p.parquet", **settings)
    # A trial run is not the whole: nothing is expected of it.
    join(listing, [yfcc.write_tsv("m.tsv")], tmp_path / "p.parquet", limit=5, **settings)


def test_declips_set_is_known_by_its_size():
    expected = Expected(14_689_580)
    expected.check(14_820_000, "the subset that is meant")
    with pytest.raises(ValueError, match=r"15,388,000 pairs, expected 14,689,580.*DeCLIP's"):
        expected.check(15_388_000, "index.json")


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("m.tsv", b"1\t2\t3\n", "3 columns, but YFCC100M's metadata has 23 or 25"),
        ("m.parquet", b"", "no known format"),
        ("m.sql", b"no database, certainly not" * 100, "not YFCC100M's database"),
        ("m.jsonl", b'{"photoid": 1\n', "truncated or damaged"),
        ("m.bz2", bz2.compress(b"x\t" * 4000)[:-20], "truncated or damaged"),
        ("nowhere.tsv", None, "is missing"),
    ],
)
def test_another_file_than_metadata_is_named(listing, tmp_path, name, content, said):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=said) as caught:
        join(listing, [tmp_path / name], tmp_path / "p.parquet", listed=40)
    assert name in str(caught.value) and "\n" not in str(caught.value)
