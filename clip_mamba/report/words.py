"""Phrases that depend on how many things there are."""

from __future__ import annotations

from collections.abc import Sequence

from clip_mamba.tables.tex import Tex, escape


def listed(items: Sequence[object]) -> Tex:
    """Return an enumeration.

    Args:
        items: Words, escaped unless they are LaTeX already.

    Returns:
        Such as ``a, b and c``; empty without any item.
    """
    words = [escape(item) for item in items]
    return Tex(" and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words))


def share(count: int, total: int) -> str:
    """Return how many of several things, as a sentence says it.

    Args:
        count: How many.
        total: Of how many.

    Returns:
        Such as ``2 of the 5``, ``none of the 5``, ``all 5``; a noun goes after it.
    """
    if count == total:
        return f"all {total}" if total > 1 else "the one"
    return f"{count or 'none'} of the {total}" if total > 1 else "not the one"


def span(low: str, high: str) -> Tex:
    """Return a range of two numbers.

    Args:
        low: The smaller one as LaTeX.
        high: The larger one as LaTeX.

    Returns:
        Such as ``3 to 5``, or one of them if they print alike.
    """
    return Tex(low if low == high else f"{low} to {high}")
