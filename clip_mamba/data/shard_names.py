"""Which files a user means by ``corpus.shards``."""

from __future__ import annotations

import glob
from collections.abc import Sequence
from pathlib import Path

from braceexpand import braceexpand


def expand_shards(patterns: str | Sequence[str]) -> list[Path]:
    """List shards.

    Args:
        patterns: Paths with webdataset's braces (``/data/{00000..00100}.tar``) or with wildcards
            (``/data/*.tar``), one or several.

    Returns:
        The files: those of braces in their order, whether they exist or not; those of wildcards
        sorted. No file twice.

    Raises:
        ValueError: If a pattern is malformed or no file matches its wildcards.
    """
    found: dict[Path, None] = {}
    for pattern in [patterns] if isinstance(patterns, str) else patterns:
        try:
            names = list(braceexpand(str(Path(pattern).expanduser())))
        except ValueError:
            raise ValueError(f"corpus.shards: {pattern!r} has a brace without its other") from None
        for name in names:
            matches = sorted(glob.glob(name)) if glob.has_magic(name) else [name]
            if not matches:
                raise ValueError(f"corpus.shards: no file matches {name!r}")
            found.update(dict.fromkeys(Path(match) for match in matches))
    return list(found)
