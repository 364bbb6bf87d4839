"""Bit depth of pictures with 16 bits per channel, and their scaling to 8 bits.

The depth is the smallest of 8, 10, 12, 14 and 16 bits that holds 99 % of a picture's values. So a picture of a 12-bit
camera is not black, and hot pixels do not change its depth.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import IO, Any

import numpy as np
from PIL import Image

from bloodtune.errors import InputError

DEPTHS = (8, 10, 12, 14, 16)
VALUES_WITHIN = 99  # %

_BITS, _PHOTOMETRIC, _PLANES = 258, 262, 284  # TIFF tags
_WHITE_IS_ZERO, _SEPARATE = 0, 2


def has_16_bits(file: Any) -> bool:
    """Return whether the current page of a file that Pillow opened has 16 bits per channel."""
    bits = file.tag_v2.get(_BITS, (1,)) if file.format == "TIFF" else ()
    return ";16" in _rawmode(file) or file.mode.startswith("I;16") or max(bits, default=8) > 8


def read_values(file: Any, source: Path | IO[bytes], page: int) -> np.ndarray:
    """Return the values of the current page, uint16 (H, W) or (H, W, C).

    ``source`` is what ``file`` was opened from, and ``page`` the number of the page.

    Raises:
        InputError: Pillow cannot read the low bytes of such a file.
    """
    if file.mode.startswith("I;16"):
        values: np.ndarray = np.asarray(file)
        if file.format == "TIFF" and file.tag_v2.get(_PHOTOMETRIC) == _WHITE_IS_ZERO:
            white = np.uint16(2 ** _depth(values) - 1)
            values = white - np.minimum(values, white)
        return values
    if file.format == "TIFF" and file.tag_v2.get(_PLANES) == _SEPARATE:
        raise InputError("16 bits per channel in separate planes; allowed: 16 bits in one plane, or 8 bits")
    if _rawmode(file).startswith("LA"):
        raise InputError("grey of 16 bits with transparency; allowed: 16 bits without transparency, or 8 bits")
    # Pillow keeps the high byte of each value. Decoded again in the other byte order, it keeps the low byte.
    high, low = (_decode(source, page, swapped=swapped).astype(np.uint16) for swapped in (False, True))
    return high << 8 | low


def to_8_bits(values: np.ndarray, mode: str) -> Image.Image:
    """Return 16-bit values as a picture of Pillow's ``mode``; values above the depth become white."""
    white = 2 ** _depth(values) - 1
    scaled = (np.minimum(values, white) * np.uint32(255) + white // 2) // white
    return Image.frombytes(mode, values.shape[1::-1], scaled.astype(np.uint8).tobytes())


def _depth(values: np.ndarray) -> int:
    level = np.percentile(values if values.ndim == 2 else values[..., :3], VALUES_WITHIN)  # without transparency
    return next(bits for bits in DEPTHS if level < 2**bits)


def _rawmode(file: Any) -> str:
    """Return how Pillow will decode a file: ``RGB;16B`` has three channels of 16 bits, high byte first."""
    arguments = file.tile[0].args if file.tile else ""
    return str(arguments if isinstance(arguments, str) else arguments[0])


def _decode(source: Path | IO[bytes], page: int, *, swapped: bool) -> np.ndarray:
    """Return the high bytes of the values, or with ``swapped`` the low bytes: uint8 (H, W, C)."""
    if not isinstance(source, Path):
        source.seek(0)
    with Image.open(source, formats=("PNG", "TIFF")) as file:
        file.seek(page)
        if swapped:
            mode = _rawmode(file)
            order = {"N": sys.byteorder[0].upper()}.get(mode[-1], mode[-1])
            mode = mode[:-1] + ("L" if order == "B" else "B")
            tiles: Any = file.tile
            file.tile = [t._replace(args=mode if isinstance(t.args, str) else (mode, *t.args[1:])) for t in tiles]
        return np.asarray(file)
