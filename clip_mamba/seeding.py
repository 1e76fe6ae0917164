"""One independent random generator per consumer, derived from (seed, purpose)."""

import zlib

import numpy as np


def generator(seed: int, *purpose: str | int) -> np.random.Generator:
    """Return a numpy generator for one purpose, so that consumers never share a stream.

    Args:
        seed: The run's seed.
        *purpose: Words or numbers that name the consumer, e.g. ``"captions", epoch``.

    Returns:
        A generator; the same arguments give the same stream on every machine.
    """
    words = [zlib.crc32(str(part).encode()) for part in purpose]
    return np.random.default_rng([seed, *words])


def integer(seed: int, *purpose: str | int) -> int:
    """Return a 32-bit seed for libraries that take an integer (torch, scikit-learn).

    Args:
        seed: The run's seed.
        *purpose: As in :func:`generator`.

    Returns:
        A number in [0, 2**32).
    """
    return int(generator(seed, *purpose).integers(2**32))
