"""The tokenizer against the reference's ids, and the cut vocabulary."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clip_mamba.tokenizer import CutTokenizer, get_tokenizer

CASES = [
    json.loads(line)
    for line in (Path(__file__).parent / "fixtures" / "tokenizer_cases.jsonl").open()
]
FULL = get_tokenizer(49408, 77)
CUT = get_tokenizer(4096, 24)


def ids(tokenizer, text):
    row = tokenizer([text])[0].tolist()
    return row[: row.index(tokenizer.eot_token_id) + 1]


def test_reference_ids():
    equal = [case for case in CASES if case["open_clip_equal"]]
    assert len(equal) == 216
    for case in equal:
        assert FULL([case["text"]])[0].tolist()[: len(case["ids"])] == case["ids"], case["text"]


def test_long_texts_keep_their_end():
    """The reference loses the end token here, and pools position 0; open_clip keeps it."""
    for tokenizer in (FULL, CUT):
        row = tokenizer(["word " * 200])[0]
        assert row[-1] == tokenizer.eot_token_id
        assert row.argmax() == tokenizer.context_length - 1


def test_cut_vocabulary():
    assert CUT.vocab_size == 4096
    assert (CUT.sot_token_id, CUT.eot_token_id) == (4094, 4095)
    assert ids(CUT, "a cat") == [4094, 320, 2368, 4095]
    assert len(ids(CUT, "photosynthesis")) > len(ids(FULL, "photosynthesis"))


def test_frequent_words_have_the_ids_of_the_full_vocabulary():
    assert ids(CUT, "a picture of the dog")[1:-1] == ids(FULL, "a picture of the dog")[1:-1]


@settings(max_examples=50, deadline=None)
@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=30))
def test_every_string_has_ids(text):
    tokenizer = get_tokenizer(600, 400)
    row = tokenizer([text])[0]
    assert row.max() == tokenizer.eot_token_id
    words = tokenizer.decode(ids(tokenizer, text)[1:-1])
    assert words.split() == tokenizer.decode(tokenizer.encode(text)).split()


def test_limits():
    assert CutTokenizer(514).vocab_size == 514
    for size in (513, 49409):
        with pytest.raises(ValueError, match=str(size)):
            CutTokenizer(size)
