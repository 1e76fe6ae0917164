"""The metadata of YFCC100M in the formats in which it is handed around.

* **SQLite** (``.sql``, ``.db``, ``.sqlite``): the public ``yfcc100m_dataset.sql`` of the
  Multimedia Commons bucket (65.6 GB), table ``yfcc100m_dataset``, asked by photo identifier.
* **TSV** (plain, ``.bz2``, ``.gz``): Yahoo's original of 23 columns, or the later one of 25, which
  puts the line number before the photo identifier and the photo hash behind it.
* **JSON lines** (``.jsonl``, ``.jsonl.gz``): as in dalle-mini/YFCC100M_OpenAI_subset.
"""

from __future__ import annotations

import bz2
import gzip
import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, cast

import numpy as np

#: Columns of Yahoo's original file; title, description, address and kind by their places there.
COLUMNS = 23
TITLE, DESCRIPTION, DOWNLOAD, MARKER = 6, 7, 14, 22
BATCH = 100_000  # lines looked at together
PROBES = 500  # identifiers in one question to the database


class Photo(NamedTuple):
    """What the metadata says of one photo; the texts are percent-encoded."""

    photoid: int
    title: str
    description: str
    url: str
    is_video: bool


def read_metadata(path: str | Path, photoids: np.ndarray) -> Iterator[Photo]:
    """Yield the rows of a metadata file that are about given photos.

    Args:
        path: The file; its ending tells its format.
        photoids: (n,) int64, sorted.

    Yields:
        The rows, in the order of the file.

    Raises:
        ValueError: If the file is missing, truncated or of an unknown format.
    """
    path = Path(path)
    if not path.exists():
        raise ValueError(f"the metadata file {path} is missing.")
    try:
        yield from _reader(path)(path, photoids)
    except (EOFError, OSError, json.JSONDecodeError) as error:
        raise ValueError(
            f"the metadata file {path} is truncated or damaged ({error}). Fetch it again."
        ) from None


def _reader(path: Path) -> Callable[[Path, np.ndarray], Iterator[Photo]]:
    name = path.name.lower()
    if name.endswith((".sql", ".db", ".sqlite")):
        return _from_sqlite
    if name.endswith((".jsonl", ".jsonl.gz")):
        return _from_json
    if name.endswith((".txt", ".tsv", ".bz2", ".gz")) or not path.suffix:
        return _from_tsv
    raise ValueError(
        f"{path}: no known format of YFCC100M's metadata. Known endings: .sql .db .sqlite, "
        ".tsv .txt (also with .bz2 or .gz), .jsonl .jsonl.gz"
    )


def _open(path: Path) -> BinaryIO:
    if path.suffix == ".bz2":
        return cast("BinaryIO", bz2.open(path))
    return cast("BinaryIO", gzip.open(path)) if path.suffix == ".gz" else open(path, "rb")


def contains(photoids: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Tell which identifiers are in a sorted list.

    Args:
        photoids: (n,) int64, sorted, not empty.
        wanted: (m,) int64.

    Returns:
        (m,) bool.
    """
    place = np.searchsorted(photoids, wanted).clip(max=len(photoids) - 1)
    return np.asarray(photoids[place] == wanted)


def _chosen(
    lines: Iterable[bytes], identify: Callable[[bytes], int], photoids: np.ndarray
) -> Iterator[bytes]:
    """Yield the lines whose identifier is wanted, looking them up many at a time."""
    rest = iter(lines)
    while batch := list(islice(rest, BATCH)):
        found = np.array([identify(line) for line in batch], np.int64)
        for i in np.flatnonzero(contains(photoids, found)):
            yield batch[i]


def _from_tsv(path: Path, photoids: np.ndarray) -> Iterator[Photo]:
    with _open(path) as file:
        first = file.readline()
        extra = first.count(b"\t") + 1 - COLUMNS
        if extra not in {0, 2}:
            raise ValueError(
                f"{path}: {extra + COLUMNS} columns, but YFCC100M's metadata has 23 or 25. "
                "Is it another file of that collection (hashes, autotags, places)?"
            )
        place = 1 if extra else 0

        def identify(line: bytes) -> int:
            field = line.split(b"\t", place + 1)[place:]
            return int(field[0]) if field and field[0].isdigit() else -1

        for line in _chosen(_chain(first, file), identify, photoids):
            fields = line.decode("utf-8", "replace").rstrip("\r\n").split("\t")[extra:]
            if len(fields) == COLUMNS:
                texts = fields[TITLE], fields[DESCRIPTION], fields[DOWNLOAD]
                yield Photo(identify(line), *texts, fields[MARKER] == "1")


def _chain(first: bytes, rest: Iterable[bytes]) -> Iterator[bytes]:
    yield first
    yield from rest


def _from_json(path: Path, photoids: np.ndarray) -> Iterator[Photo]:
    with _open(path) as file:
        while batch := [json.loads(line) for line in islice(file, BATCH)]:
            found = np.array([int(row["photoid"]) for row in batch], np.int64)
            for i in np.flatnonzero(contains(photoids, found)):
                yield _photo(batch[i])


def _from_sqlite(path: Path, photoids: np.ndarray) -> Iterator[Photo]:
    columns = "photoid, title, description, downloadurl, marker"
    # Ascending identifiers make the walk through the file a mostly forward one.
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as database:
        database.row_factory = sqlite3.Row
        for start in range(0, len(photoids), PROBES):
            chosen = photoids[start : start + PROBES].tolist()
            marks = ",".join("?" * len(chosen))
            query = f"SELECT {columns} FROM yfcc100m_dataset WHERE photoid IN ({marks})"
            try:
                rows = database.execute(query, chosen).fetchall()
            except sqlite3.Error as error:
                raise ValueError(f"{path}: not YFCC100M's database ({error}).") from None
            yield from (_photo(dict(row)) for row in rows)


def _photo(row: dict[str, Any]) -> Photo:
    title, description, url = (
        str(row.get(name) or "") for name in ("title", "description", "downloadurl")
    )
    is_video = str(row.get("marker") or "0") == "1"
    return Photo(int(row["photoid"]), title, description, url, is_video)
