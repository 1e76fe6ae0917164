"""Captions of YFCC100M: from the metadata's percent-encoded fields to plain text.

SLIP keeps title and description as two captions, decodes them, and removes links and web
addresses; so does this. It differs where SLIP's is a slip: a literal plus survives the decoding,
every HTML tag goes (not only links, bold and italics), entities are resolved, a word that merely
begins with ``www`` or ``http`` stays, and what is not UTF-8 is removed rather than kept as rubbish.
"""

from __future__ import annotations

import html
import re
from urllib.parse import unquote_to_bytes

TAG = re.compile(r"</?[A-Za-z][^<>]*>")
ADDRESS = re.compile(r"(?:\b[a-z]+://|\bwww\.)\S+", re.IGNORECASE)
REPLACEMENT = "�"


def clean(field: str) -> tuple[str, bool]:
    """Decode and clean a title or a description.

    Args:
        field: As it stands in the metadata: ``+`` for a space, ``%XX`` for other bytes.

    Returns:
        The text on one line, which may be empty, and whether all its bytes were UTF-8.
    """
    content = unquote_to_bytes(field.replace("+", " "))
    text = content.decode("utf-8", "replace")
    valid = text.count(REPLACEMENT) == content.count(REPLACEMENT.encode())
    text = TAG.sub(" ", text.replace(REPLACEMENT, " "))
    text = ADDRESS.sub(" ", html.unescape(text))
    printable = "".join(c if c.isprintable() else " " for c in text)
    return " ".join(printable.split()), valid


def captions(title: str, description: str) -> tuple[list[str], bool]:
    """Return the captions of a picture.

    Args:
        title: As it stands in the metadata.
        description: Likewise.

    Returns:
        Those of title and description that are not empty, each once, and whether all bytes of
        both were UTF-8.
    """
    cleaned = [clean(title), clean(description)]
    texts = list(dict.fromkeys(text for text, _ in cleaned if text))
    return texts, all(valid for _, valid in cleaned)
