"""open_clip's byte-pair tokenizer, whole or cut to a smaller vocabulary."""

from __future__ import annotations

import gzip
from functools import cache
from io import BytesIO

from open_clip.tokenizer import SimpleTokenizer, default_bpe

#: 256 bytes, each alone and at the end of a word, and the two special tokens.
SMALLEST_VOCABULARY = 2 * 256 + 2
FULL_VOCABULARY = 49408


class CutTokenizer(SimpleTokenizer):
    """SimpleTokenizer with the first merges only.

    A prefix of the merge table is itself a complete byte-pair encoding: every string still has
    its ids, rarer words just take more of them. The end token keeps the largest id, so pooling
    at the argmax works. A small model is spared an embedding of 49,408 rows, most of them unused.
    """

    def __init__(self, vocab_size: int = FULL_VOCABULARY, context_length: int = 77) -> None:
        """Build the tokenizer.

        Args:
            vocab_size: Number of ids, special tokens included.
            context_length: Ids per text; longer texts are cut and keep their end token.

        Raises:
            ValueError: If there is no vocabulary of that size.
        """
        if not SMALLEST_VOCABULARY <= vocab_size <= FULL_VOCABULARY:
            raise ValueError(
                f"vocab_size={vocab_size} is not between {SMALLEST_VOCABULARY} (bytes only) and "
                f"{FULL_VOCABULARY} (all merges)."
            )
        # gzip.open, by which SimpleTokenizer reads, takes a file object as well as a path.
        super().__init__(BytesIO(_bpe_file(vocab_size)), context_length=context_length)


def _bpe_file(vocab_size: int) -> bytes:
    lines = _bpe_lines()[: vocab_size - SMALLEST_VOCABULARY + 1]  # the first is a comment
    return gzip.compress("\n".join(lines).encode(), compresslevel=1)


@cache
def _bpe_lines() -> list[str]:
    with gzip.open(default_bpe(), "rt", encoding="utf-8") as file:
        return file.read().split("\n")


@cache
def get_tokenizer(vocab_size: int, context_length: int) -> CutTokenizer:
    """Return a tokenizer, the same object for the same arguments.

    Args:
        vocab_size: Number of ids.
        context_length: Ids per text.

    Returns:
        A callable from texts to ids, (n, context_length).
    """
    return CutTokenizer(vocab_size, context_length)
