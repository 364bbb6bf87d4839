"""Loops over bfloat16 numbers that PyTorch has no fast operation for; numba compiles them at first use.

A bfloat16 number is seen as its 16 bits, int16: positive ones compare like the numbers, and any NaN counts as the
largest. Pictures are contiguous (N, H, W, C).
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

_INFINITY = np.int16(0x7F80)
_MAGNITUDE = np.int16(0x7FFF)


def _compile(function: Any) -> Any:
    try:
        return numba.njit(cache=True)(function)
    except RuntimeError:  # no folder for the cache can be written
        return numba.njit(function)


@_compile
def pool_rectified(images: np.ndarray, pooled: np.ndarray, places: np.ndarray) -> None:
    """Write the largest of each 2x2 pixels, or 0 if none is above, to ``pooled``; which one it was to ``places``.

    ``places`` (uint8) counts along the rows from 0; 4 where it was none.
    """
    count, height, width, channels = pooled.shape
    for n in range(count):
        for i in range(height):
            for j in range(width):
                a, b = images[n, 2 * i, 2 * j], images[n, 2 * i, 2 * j + 1]
                c, d = images[n, 2 * i + 1, 2 * j], images[n, 2 * i + 1, 2 * j + 1]
                best, place = pooled[n, i, j], places[n, i, j]
                for k in range(channels):
                    largest, at = np.int16(0), np.uint8(4)
                    for number, pixel in ((0, a[k]), (1, b[k]), (2, c[k]), (3, d[k])):
                        value = _MAGNITUDE if (pixel & _MAGNITUDE) > _INFINITY else pixel
                        if value > largest:
                            largest, at = value, np.uint8(number)
                    best[k], place[k] = largest, at


@_compile
def spread(gradient: np.ndarray, places: np.ndarray, spread: np.ndarray) -> None:
    """Write each number of ``gradient`` to the pixel of ``spread`` that it came from, and 0 to the other three."""
    count, height, width, channels = gradient.shape
    for n in range(count):
        for i in range(height):
            for j in range(width):
                given, place = gradient[n, i, j], places[n, i, j]
                for number in range(4):
                    # A loop for each of the four: more arrays in one, and the compiler does not vectorize it.
                    pixel = spread[n, 2 * i + number // 2, 2 * j + number % 2]
                    for k in range(channels):
                        pixel[k] = given[k] & -np.int16(place[k] == number)
