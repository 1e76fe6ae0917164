"""The two loops over pixels that all grey-scale distortions share, compiled.

numpy needs several passes and strided copies for each; one pass is two to three times as fast.
numba is loaded with this module, which is therefore imported when it is first used.
"""

from __future__ import annotations

from collections.abc import Callable

import numba
import numpy as np


def _compiled(function: Callable) -> Callable:
    """Return the function compiled, kept on disk where there is a place for it.

    Rounding is left as written: no fused operations, no other order.
    """
    try:
        return numba.njit(nogil=True, cache=True)(function)
    except RuntimeError:  # neither the package's folder nor the user's cache folder is writable
        return numba.njit(nogil=True)(function)


@_compiled
def weighted_sum(pixels: np.ndarray, weights: np.ndarray, grey: np.ndarray) -> None:
    """Add the channels of each pixel, weighted, from left to right.

    Args:
        pixels: (n, 3) float32.
        weights: (3,) float32.
        grey: (n,) float32, where the sums go.
    """
    red, green, blue = weights[0], weights[1], weights[2]
    for i in range(len(grey)):
        grey[i] = pixels[i, 0] * red + pixels[i, 1] * green + pixels[i, 2] * blue


@_compiled
def repeat_clipped(grey: np.ndarray, pixels: np.ndarray) -> None:
    """Write each value, clipped to [0, 1], into the three channels of its pixel.

    Args:
        grey: (n,) float32.
        pixels: (n, 3) float32, where they go.
    """
    for i in range(len(grey)):
        value = grey[i]
        if value < 0:
            value = np.float32(0)
        elif value > 1:
            value = np.float32(1)
        pixels[i, 0] = value
        pixels[i, 1] = value
        pixels[i, 2] = value
