"""Kinds of values on command lines; what is no such value is said in argparse's one line."""

from __future__ import annotations

import math
from argparse import ArgumentTypeError
from collections.abc import Callable
from typing import Any


def number(text: str) -> float:
    """Read a number above 0.

    Args:
        text: As written.

    Returns:
        The number.

    Raises:
        ArgumentTypeError: If it is none.
    """
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise ArgumentTypeError(f"{text!r} is not a number above 0")
    return value


def count(text: str) -> int:
    """Read a whole number above 0, perhaps written as 14.7e6.

    Args:
        text: As written.

    Returns:
        The number.

    Raises:
        ArgumentTypeError: If it is none.
    """
    try:
        value = number(text)
    except ArgumentTypeError:
        value = math.nan
    if not value.is_integer():
        raise ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return int(value)


def count_or_zero(text: str) -> int:
    """Read a whole number from 0.

    Args:
        text: As written.

    Returns:
        The number.

    Raises:
        ArgumentTypeError: If it is none.
    """
    if not text.isdecimal():
        raise ArgumentTypeError(f"{text!r} is not a whole number from 0")
    return int(text)


def none_or(kind: Callable[[str], Any]) -> Callable[[str], Any]:
    """Read a value, or the word none.

    Args:
        kind: How a value is read.

    Returns:
        A type for argparse.
    """

    def read(text: str) -> Any:
        return None if text.lower() == "none" else kind(text)

    read.__name__ = kind.__name__  # which argparse says where the value is none of it
    return read
