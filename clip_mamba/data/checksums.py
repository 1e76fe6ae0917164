"""Checksums of downloads, recorded on first use and enforced from then on."""

from __future__ import annotations

import csv
import fcntl
import os
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import astuple, dataclass, fields
from datetime import date
from pathlib import Path

from clip_mamba.data.sources import TABLES
from clip_mamba.files import sha256

#: Names the environment variable that moves the table, for tests and for private sets.
VARIABLE = "CLIP_MAMBA_CHECKSUMS"


@dataclass(frozen=True)
class Checksum:
    """One row of ``data/checksums.tsv``."""

    url: str
    bytes: int
    sha256: str
    first_used: str


class ChecksumMismatch(ValueError):
    """A download is not the file that was recorded when it was used first."""


def table_path() -> Path:
    """Return where the table lies: ``data/checksums.tsv`` unless the environment says otherwise."""
    return Path(os.environ.get(VARIABLE) or TABLES / "checksums.tsv")


def read_checksums() -> dict[str, Checksum]:
    """Read the table.

    Returns:
        URL to checksum; empty if there is no table yet.
    """
    path = table_path()
    if not path.exists():
        return {}
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    return {
        row["url"]: Checksum(row["url"], int(row["bytes"]), row["sha256"], row["first_used"])
        for row in rows
    }


def verify(url: str, path: str | Path) -> Checksum:
    """Compare a file with what was recorded for its URL, or record it.

    Args:
        url: Where the file comes from, before any mirror is applied.
        path: The file.

    Returns:
        The row, new or old.

    Raises:
        ChecksumMismatch: If the file differs from the recorded one; both are shown.
    """
    size, digest = Path(path).stat().st_size, sha256(path)
    with _locked():
        known = read_checksums().get(url)
        if known is None:
            found = Checksum(url, size, digest, date.today().isoformat())
            _append(found)
            return found
    if (known.bytes, known.sha256) == (size, digest):
        return known
    raise ChecksumMismatch(
        f"{url}: refused, it is not the file that {table_path()} describes. "
        f"Expected sha256 {known.sha256} ({known.bytes} bytes, first used {known.first_used}), "
        f"found {digest} ({size} bytes). Run again in case the download was damaged; if it stays "
        "so, the file was changed after it was recorded: look at it, then delete its row."
    )


def _append(row: Checksum) -> None:
    path = table_path()
    path.parent.mkdir(parents=True, exist_ok=True)
    new = not path.exists() or path.stat().st_size == 0
    with open(path, "a", newline="") as file:
        writer = csv.writer(file, delimiter="\t", lineterminator="\n")
        if new:
            writer.writerow(field.name for field in fields(Checksum))
        writer.writerow(astuple(row))


@contextmanager
def _locked() -> Generator[None, None, None]:
    """Let one process at a time read and extend the table."""
    path = table_path().with_suffix(".lock")
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
