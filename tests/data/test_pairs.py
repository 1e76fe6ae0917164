"""Pairs by number, straight from the shards."""

import io
import json
import multiprocessing

import numpy as np
import pytest
from PIL import Image

from clip_mamba.data import pairs as module
from clip_mamba.data.augment import Augmentation, draw_table
from clip_mamba.data.cached import CachedSource, decode_all, fits_in_memory
from clip_mamba.data.pairs import UnreadableError, open_pairs
from clip_mamba.data.shard_index import index_shards
from clip_mamba.data.shards import write_tar
from clip_mamba.data.streamed import StreamedSource
from clip_mamba.tokenizer import get_tokenizer

AUGMENTATION = Augmentation()
TOKENIZER = get_tokenizer(4096, 24)


def picture(number, side=(20, 24), form="png"):
    rng = np.random.default_rng(number)
    buffer = io.BytesIO()
    Image.fromarray(rng.integers(0, 256, (*side, 3), np.uint8)).save(buffer, form)
    return buffer.getvalue()


def shards(folder, sizes=(4, 3, 5), **changes):
    """Write shards and their index; ``changes`` replaces the files of a sample by number."""
    paths, number = [], 0
    for shard, size in enumerate(sizes):
        samples = []
        for _ in range(size):
            captions = json.dumps({"captions": [f"title {number}", f"description {number}"]})
            files = {"png": picture(number), "json": captions.encode()}
            samples.append((f"{number:05d}", changes.get(f"n{number}", files)))
            number += 1
        write_tar(folder / f"{shard}.tar", samples)
        paths.append(folder / f"{shard}.tar")
    index_shards(paths, folder / "index.json", kind="webdataset")
    return folder / "index.json"


def spoil(index, number):
    """Overwrite the inside of a picture after it was indexed, as a failing disk does."""
    found = open_pairs(index)
    shard, offset = (found.places[name][number] for name in ("shard", "image_offset"))
    with open(found.paths[shard], "r+b") as file:
        file.seek(offset + 30)
        file.write(bytes(200))


def test_every_pair_is_there_in_the_order_of_the_shards(tmp_path):
    found = open_pairs(shards(tmp_path))
    assert (len(found), found.shard_sizes) == (12, [4, 3, 5])
    for i in range(12):
        assert found.captions(i) == [f"title {i}", f"description {i}"]
        expected = Image.open(io.BytesIO(picture(i))).convert("RGB")
        assert np.array_equal(np.asarray(found.image(i)), np.asarray(expected))
    assert len(found.sha256) == 64


def test_plain_text_blank_captions_and_wrong_bytes(tmp_path):
    latin = {"png": picture(0), "txt": "caf\u00e9 ".encode()}
    blank = {"png": picture(1), "json": json.dumps({"captions": ["  ", " a dog "]}).encode()}
    index = shards(tmp_path, n0=latin, n1=blank)
    found = open_pairs(index)
    assert found.captions(0) == ["caf\u00e9"]
    assert found.captions(1) == ["a dog"]
    with open(tmp_path / "0.tar", "r+b") as file:  # no longer UTF-8
        file.seek(int(found.places["caption_offset"][0]))
        file.write(b"caf\xe9 \xff")
    assert open_pairs(index).captions(0) == ["caf\ufffd \ufffd"]


def test_few_shards_are_open_at_a_time(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "OPEN_SHARDS", 2)
    found = open_pairs(shards(tmp_path))
    for i in (0, 5, 11, 1, 6):
        found.image(i)
        assert len(found._files) <= 2


def _read_in_child(found, queue):
    queue.put(([found.captions(i)[0] for i in range(len(found))], dict(found._files)))


def test_a_forked_process_opens_files_of_its_own(tmp_path):
    found = open_pairs(shards(tmp_path))
    found.image(0)
    queue = multiprocessing.get_context("fork").Queue()
    child = multiprocessing.get_context("fork").Process(target=_read_in_child, args=(found, queue))
    child.start()
    titles, files = queue.get(timeout=20)
    child.join()
    assert titles == [f"title {i}" for i in range(12)]
    assert len(files) == 3 and len(found._files) == 1


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (lambda folder: (folder / "1.tar").unlink(), r"1\.tar is missing"),
        (lambda folder: (folder / "1.tar").write_bytes(b"x" * 99), r"1\.tar is truncated"),
        (lambda folder: (folder / "samples.parquet").unlink(), r"samples\.parquet is missing"),
        (lambda folder: (folder / "index.json").unlink(), r"index\.json is missing"),
    ],
)
def test_a_damaged_corpus_is_refused_before_training(tmp_path, harm, said):
    index = shards(tmp_path)
    harm(tmp_path)
    with pytest.raises(ValueError, match=said):
        open_pairs(index)


def sources(index):
    found = open_pairs(index)
    cached = decode_all(found, TOKENIZER, AUGMENTATION, 16)
    return StreamedSource(found, TOKENIZER, AUGMENTATION, 16), cached


def test_streamed_and_cached_pairs_are_the_same(tmp_path):
    streamed, cached = sources(shards(tmp_path))
    draws, chosen = draw_table(0, 0, 12), np.arange(12)
    (left, one, _), (right, other, _) = (s.fetch(chosen, draws) for s in (streamed, cached))
    assert (one == other).all()
    assert (left.int() - right.int()).abs().max() <= 2  # Pillow rounds its weights to 22 bits


@pytest.mark.parametrize("number", [3, 11])
def test_an_unreadable_picture_is_replaced_by_the_next_one_and_counted(tmp_path, number, capsys):
    index = shards(tmp_path)
    spoil(index, number)
    following = (number + 1) % 12
    with pytest.raises(UnreadableError, match=r"\.tar at byte \d+: unreadable picture"):
        open_pairs(index).image(number)
    draws = draw_table(0, 0, 2)
    for source in sources(index):
        images, tokens, replaced = source.fetch(np.array([number, 5]), draws)
        expected, words, none = source.fetch(np.array([following, 5]), draws)
        assert (images == expected).all() and (tokens == words).all()
        assert (replaced, none) == (1, 0)
    assert "the next pair stands in for it" in capsys.readouterr().out


def test_a_picture_of_too_many_pixels_counts_as_unreadable(tmp_path, monkeypatch):
    index = shards(tmp_path)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)  # 480 pixels are more than twice that
    with pytest.raises(UnreadableError, match="exceeds limit"):
        open_pairs(index).image(0)


def test_a_corpus_without_a_readable_picture_is_an_error(tmp_path):
    index = shards(tmp_path, sizes=(3,))
    for number in range(3):
        spoil(index, number)
    streamed = StreamedSource(open_pairs(index), TOKENIZER, AUGMENTATION, 16)
    with pytest.raises(ValueError, match="3 pairs in a row cannot be read"):
        streamed.fetch(np.array([0]), draw_table(0, 0, 1))
    assert not fits_in_memory(open_pairs(index))
    with pytest.raises(ValueError, match="none of the 2 pictures can be read"):
        CachedSource(
            np.zeros((2, 4, 4, 3), np.uint8),
            [[], []],
            TOKENIZER,
            AUGMENTATION,
            16,
            unreadable=[0, 1],
        )


def test_pictures_of_different_sizes_are_streamed(tmp_path):
    odd = {"png": picture(1, (9, 400)), "txt": b"a strip"}
    index = shards(tmp_path, n1=odd)
    assert decode_all(open_pairs(index), TOKENIZER, AUGMENTATION, 16) is None
    images, _, _ = sources(index)[0].fetch(np.arange(12), draw_table(0, 0, 12))
    assert images.shape == (12, 3, 16, 16)


def test_the_first_caption_or_any(tmp_path):
    found = open_pairs(shards(tmp_path))
    draws = draw_table(0, 0, 12)
    for first, expected in ((True, {"title"}), (False, {"title", "description"})):
        source = StreamedSource(found, TOKENIZER, AUGMENTATION, 16, first_caption=first)
        cached = decode_all(found, TOKENIZER, AUGMENTATION, 16, first_caption=first)
        for each in (source, cached):
            tokens = each.fetch(np.arange(12), draws)[1]
            assert {TOKENIZER.decode(row.tolist()).split()[0] for row in tokens} == expected or {
                TOKENIZER.decode(row.tolist()).replace("<start_of_text>", "").split()[0]
                for row in tokens
            } == expected
