"""Pictures of 16 bits per channel, which Pillow cannot write in colour."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
import tifffile


def png16(values: np.ndarray) -> io.BytesIO:
    """Return values, uint16 (H, W) or (H, W, C), as a PNG file with the filter "up" on every second row."""
    height, width = values.shape[:2]
    kind = {1: 0, 2: 4, 3: 2, 4: 6}[values.reshape(height, width, -1).shape[2]]
    rows = values.astype(">u2").reshape(height, -1).view(np.uint8)
    filtered = [b"\2" + (row - rows[y - 1]).tobytes() if y % 2 else b"\0" + row.tobytes() for y, row in enumerate(rows)]

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, kind, 0, 0, 0))
    data = chunk(b"IDAT", zlib.compress(b"".join(filtered)))
    return io.BytesIO(b"\x89PNG\r\n\x1a\n" + header + data + chunk(b"IEND", b""))


def tiff(values: np.ndarray, **keywords: Any) -> io.BytesIO:
    """Return values as a TIFF file; ``keywords`` are those of ``tifffile.imwrite``."""
    file = io.BytesIO()
    colour = values.ndim == 3 and values.shape[2] in (3, 4) and not keywords.get("imagej")
    tifffile.imwrite(file, values, **({"photometric": "rgb" if colour else "minisblack"} | keywords))
    file.seek(0)
    return file
