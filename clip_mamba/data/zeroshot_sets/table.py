"""The tables of the 26 tasks and of the retrieval sets."""

import csv
import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TypeVar

from clip_mamba.data.sources import TABLES

Row = TypeVar("Row")


@dataclass(frozen=True)
class Entry:
    """One row of ``data/zeroshot.tsv``."""

    name: str
    #: As in the report's table.
    title: str
    #: What reads it: webdataset, cub, ucf101, kinetics or hateful-memes.
    kind: str
    #: Addresses of the files, of the folder that holds them, or of the site to get them from.
    source: tuple[str, ...]
    #: What is scored here, as results call it.
    split: str
    #: What the report scored, where that is something else.
    report_split: str | None
    classes: int
    #: How many there should be; none where that depends on the copy.
    examples: int | None
    metric: str
    #: Key of SLIP's files.
    prompts: str
    #: Whether there are training pictures for linear probing.
    train: bool
    #: Whether its pictures must come from a folder of the user's.
    gated: bool
    licence: str
    note: str | None


@dataclass(frozen=True)
class RetrievalEntry:
    """One row of ``data/retrieval.tsv``."""

    name: str
    title: str
    #: Address of the mirror's top folder.
    source: str
    split: str
    images: int
    captions: int
    licence: str
    note: str | None


def read_entries() -> dict[str, Entry]:
    """Read ``data/zeroshot.tsv``.

    Returns:
        Name to row, in the table's order.
    """
    return {row["name"]: _entry(row) for row in _rows("zeroshot.tsv")}


def find_entry(name: str) -> Entry:
    """Return the row of a task, or say which task was meant.

    Args:
        name: The first column of the table.

    Returns:
        The row.
    """
    return _find("zero-shot task", name, read_entries())


def read_retrieval_entries() -> dict[str, RetrievalEntry]:
    """Read ``data/retrieval.tsv``.

    Returns:
        Name to row, in the table's order.
    """
    return {row["name"]: _retrieval_entry(row) for row in _rows("retrieval.tsv")}


def find_retrieval(name: str) -> RetrievalEntry:
    """Return the row of a retrieval set, or say which was meant.

    Args:
        name: The first column of the table.

    Returns:
        The row.
    """
    return _find("retrieval set", name, read_retrieval_entries())


def _rows(table: str) -> Iterator[dict[str, str]]:
    path = TABLES / table
    with open(path, newline="") as file:
        for line, row in enumerate(csv.DictReader(file, delimiter="\t"), start=2):
            if None in row or None in row.values():
                raise ValueError(f"{path}, line {line}: wrong number of columns.")
            yield row


def _find(what: str, name: str, known: Mapping[str, Row]) -> Row:
    if name in known:
        return known[name]
    near = difflib.get_close_matches(name, known, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    raise ValueError(f"Unknown {what} {name!r}.{hint} Known: {', '.join(known)}.")


def _entry(row: dict[str, str]) -> Entry:
    return Entry(
        name=row["name"],
        title=row["title"],
        kind=row["kind"],
        source=tuple(row["source"].split()),
        split=row["split"],
        report_split=row["report_split"] or None,
        classes=int(row["classes"]),
        examples=int(row["examples"]) if row["examples"] else None,
        metric=row["metric"],
        prompts=row["prompts"],
        train=row["train"] == "yes",
        gated=row["gated"] == "yes",
        licence=row["licence"],
        note=row["note"] or None,
    )


def _retrieval_entry(row: dict[str, str]) -> RetrievalEntry:
    return RetrievalEntry(
        name=row["name"],
        title=row["title"],
        source=row["source"],
        split=row["split"],
        images=int(row["images"]),
        captions=int(row["captions"]),
        licence=row["licence"],
        note=row["note"] or None,
    )
