"""Compiled copies between maps (b, h w, channels) and sequences (b, path, d, h w).

The paths are those of :mod:`clip_mamba.ops.scan_paths`. The copies go tile by tile (TILE steps of
TILE channels), so that the lines of a tile stay in the first-level cache while it is transposed.
A path and its reverse are handled together: they read the same places.
"""

import numba
import numpy as np

from clip_mamba.ops.compilation import kernel

TILE = 16  # one cache line of float32
STEPS = 256


@numba.njit(nogil=True, error_model="numpy")
def _places(column, start, count, height, width, places):  # type: ignore[no-untyped-def]
    """Fill in where on the map, row by row, the steps of a path from ``start`` on are."""
    for i in range(count):
        t = start + i
        places[i] = t % height * width + t // height if column else t


@kernel
def unfold(first, last, height, width, shared, maps, y):  # type: ignore[no-untyped-def]
    """Write the sequences of the examples first .. last-1."""
    depth, length = y.shape[2], y.shape[3]
    places = np.zeros(STEPS, np.uintp)
    for b in range(first, last):
        for path in range(2):
            here = 0 if shared else path * depth
            back = 0 if shared else (path + 2) * depth
            for c0 in range(0, depth, TILE):
                for start in range(0, length, STEPS):
                    steps = min(STEPS, length - start)
                    _places(path == 1, start, steps, height, width, places)
                    for c in range(np.uintp(c0), np.uintp(min(c0 + TILE, depth))):
                        for i in range(np.uintp(steps)):
                            t = np.uintp(start) + i
                            t_back = np.uintp(length - 1) - t
                            y[b, path, c, t] = maps[b, places[i], here + c]
                            y[b, path + 2, c, t_back] = maps[b, places[i], back + c]


@kernel
def fold(first, last, height, width, shared, y, maps):  # type: ignore[no-untyped-def]
    """Write the maps of the examples first .. last-1: the sum of the paths, or side by side."""
    depth, length = y.shape[2], y.shape[3]
    places = np.zeros(STEPS, np.uintp)
    for b in range(first, last):
        for path in range(2):
            here, back = path * depth, (path + 2) * depth
            for c0 in range(0, depth, TILE):
                for start in range(0, length, STEPS):
                    steps = min(STEPS, length - start)
                    _places(path == 1, start, steps, height, width, places)
                    for i in range(np.uintp(steps)):
                        t = np.uintp(start) + i
                        t_back = np.uintp(length - 1) - t
                        place = places[i]
                        for c in range(np.uintp(c0), np.uintp(min(c0 + TILE, depth))):
                            one, other = y[b, path, c, t], y[b, path + 2, c, t_back]
                            if not shared:
                                maps[b, place, here + c] = one
                                maps[b, place, back + c] = other
                            elif path == 0:
                                maps[b, place, c] = one + other
                            else:
                                maps[b, place, c] += one + other
