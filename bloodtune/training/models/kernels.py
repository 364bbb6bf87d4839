"""Loops over floating-point numbers that PyTorch has no fast operation for; numba compiles them at first use.

A number is seen as its bits: bfloat16 as int16, float32 as int32. Positive numbers compare like their bits, and any NaN
counts as the largest number. Images are contiguous (N, H, W, C).
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np


def _compile(function: Any) -> Any:
    try:
        return numba.njit(cache=True)(function)
    except RuntimeError:  # no folder for the cache can be written
        return numba.njit(function)


@_compile
def pool_rectified(images: np.ndarray, pooled: np.ndarray, places: np.ndarray, infinity: Any) -> None:
    """Write the largest of each 2x2 pixels, or 0 if none is above, to ``pooled``; which one it was to ``places``.

    ``places`` (uint8) counts along the rows from 0; 4 where it was none. ``infinity`` has the bits of that number.
    """
    zero, magnitude = images.dtype.type(0), images.dtype.type(np.iinfo(images.dtype).max)
    count, height, width, channels = pooled.shape
    for n in range(count):
        for i in range(height):
            for j in range(width):
                a, b = images[n, 2 * i, 2 * j], images[n, 2 * i, 2 * j + 1]
                c, d = images[n, 2 * i + 1, 2 * j], images[n, 2 * i + 1, 2 * j + 1]
                best, place = pooled[n, i, j], places[n, i, j]
                for k in range(channels):
                    largest, at = zero, np.uint8(4)
                    for number, pixel in ((0, a[k]), (1, b[k]), (2, c[k]), (3, d[k])):
                        value = magnitude if (pixel & magnitude) > infinity else pixel
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
                        pixel[k] = given[k] & -gradient.dtype.type(place[k] == number)
