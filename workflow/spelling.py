"""Hints at what was meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any


def nearest(word: Any, known: Iterable[str]) -> str:
    """Return a hint at the nearest known spelling, and at what is known.

    Args:
        word: What was written.
        known: What could have been.

    Returns:
        ``did you mean 'x'? known: a, b, x``.
    """
    names = [str(name) for name in known]
    folded = {name.lower(): name for name in names}
    close = difflib.get_close_matches(str(word).lower(), folded, n=1, cutoff=0.5)
    shown = ", ".join(names[:20]) + (f" and {len(names) - 20} more" if len(names) > 20 else "")
    return (f"did you mean {folded[close[0]]!r}? " if close else "") + f"known: {shown}"
