"""Max-pooling loops for the CPU, compiled by numba at first use.

The loops work on the bits of the numbers: int16 for bfloat16, int32 for float32. Positive floating-point numbers have
the order of their bits, and NaN counts as the largest number. Images are contiguous (N, H, W, C).
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np


def _compile(function: Any) -> Any:
    try:
        return numba.njit(cache=True)(function)
    except RuntimeError:  # numba finds no writable folder for its cache
        return numba.njit(function)


@_compile
def pool_rectified(images: np.ndarray, pooled: np.ndarray, places: np.ndarray, infinity: Any) -> None:
    """Write max(0, the largest of each 2x2 pixels) to ``pooled`` and the position of the largest to ``places``.

    Positions (uint8) are 0 to 3 along the rows, or 4 where no pixel is above 0. ``infinity`` has the bits of infinity.
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
    """Write each number of ``gradient`` to its pixel of ``spread``, given by ``places``, and 0 to the other three."""
    count, height, width, channels = gradient.shape
    for n in range(count):
        for i in range(height):
            for j in range(width):
                given, place = gradient[n, i, j], places[n, i, j]
                for number in range(4):
                    # One inner loop per position: the compiler does not vectorize a loop over more arrays.
                    pixel = spread[n, 2 * i + number // 2, 2 * j + number % 2]
                    for k in range(channels):
                        pixel[k] = given[k] & -gradient.dtype.type(place[k] == number)
