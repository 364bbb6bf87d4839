"""Photographs of cells: search in folders, crop and scaling to tiles as in MedMNIST."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from bloodtune.errors import InputError

SUFFIXES = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp")
MAX_PIXELS = 64_000_000  # per photograph; 192 MB in colour

# MedMNIST uses the middle 200 pixels of the smear crops of Acevedo et al. (2020), most of which have 360 x 363 pixels.
_CROP = 200
_SMEAR_CROP = range(340, 381)

_FORMATS = ("JPEG", "PNG", "TIFF", "BMP")
_JPEG_QUALITY = 75
_PREVIEW_QUALITY = 80
_ORIENTATION = 0x0112  # the EXIF tag


def find_photographs(paths: Sequence[Path]) -> Iterator[Path]:
    """Yield the files among ``paths``, and the photographs in and below the folders, sorted by name.

    Hidden files and files with other suffixes are skipped in folders. A file among ``paths`` is always yielded.

    Raises:
        InputError: a path does not exist, or a folder contains no photograph.
    """
    for path in paths:
        if not os.path.exists(path):
            raise InputError(f"{path}: no such file or folder")
        if not path.is_dir():
            yield path
            continue
        found = False
        for folder, folders, names in os.walk(path, onerror=_raise):
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            for name in sorted(names):
                if name.lower().endswith(SUFFIXES) and not name.startswith("."):
                    found = True
                    yield Path(folder, name)
        if not found:
            raise InputError(f"{path}: no photograph in this folder ({', '.join(SUFFIXES)})")


def _raise(error: OSError) -> None:
    raise InputError(f"{error.filename} cannot be read: {error.strerror}")


def read_tile(
    source: Path | IO[bytes], *, size: int, channels: int, crop: int | None = None, preview: int = 0
) -> tuple[np.ndarray, bytes]:
    """Read a photograph; return its tile for the network and a preview, a larger picture of the same part.

    Args:
        source: a JPEG, PNG, TIFF (first page) or BMP file.
        size: side of the tile in pixels.
        channels: channels of the tile, 3 for colour, 1 for grey.
        crop: side of the square to cut from the middle of the photograph, in pixels. If it is None, a photograph of
            the tile's size is used whole, and a smear crop of about 360 x 363 pixels is cut to the middle 200.
        preview: longest side of the preview in pixels; 0 for no preview.

    Returns:
        The tile, uint8 (``size``, ``size``, ``channels``), and the preview as a JPEG file (empty if there is none).

    Raises:
        InputError: the file is not a photograph, is damaged or too large, or its size requires ``crop``.
    """
    image = _load(source)
    part = _to_8_bits(image.crop(_box(*image.size, size, crop)), channels)
    return _tile(part, size), _preview(part, preview) if preview else b""


def tile_picture(tile: np.ndarray) -> bytes:
    """Return a tile, uint8 (H, W, C), as a JPEG file."""
    return _jpeg(Image.fromarray(tile.squeeze()), _PREVIEW_QUALITY)


def _load(source: Path | IO[bytes]) -> Image.Image:
    try:
        with Image.open(source, formats=_FORMATS) as image:
            width, height = image.size
            if width * height > MAX_PIXELS:
                raise Image.DecompressionBombError
            image.load()
            if image.getexif().get(_ORIENTATION, 1) != 1:
                ImageOps.exif_transpose(image, in_place=True)
            return image
    except Image.DecompressionBombError:
        raise InputError(f"too large; allowed: up to {MAX_PIXELS // 10**6} million pixels") from None
    except UnidentifiedImageError:
        raise InputError("not a JPEG, PNG, TIFF or BMP picture") from None
    except Exception as error:  # Pillow raises many types of errors for damaged files
        reason = (getattr(error, "strerror", None) or " ".join(str(error).split())) or type(error).__name__
        raise InputError(f"cannot be read: {reason}") from None


def _box(width: int, height: int, size: int, crop: int | None) -> tuple[int, int, int, int]:
    if crop is None:
        if (width, height) == (size, size):
            return (0, 0, size, size)
        if width not in _SMEAR_CROP or height not in _SMEAR_CROP:
            raise InputError(
                f"{width} x {height} pixels; allowed: tiles of {size} x {size}, smear crops of about 360 x 363, and "
                "any size with --crop"
            )
        crop = _CROP
    if crop > min(width, height):
        raise InputError(f"{width} x {height} pixels: too small for a crop of {crop} x {crop}")
    # torchvision rounds half to even. For 363 pixels this decides where the crop starts.
    left, top = round((width - crop) / 2), round((height - crop) / 2)
    return (left, top, left + crop, top + crop)


def _to_8_bits(image: Image.Image, channels: int) -> Image.Image:
    """Return the picture with 8 bits per channel, without a palette, and with white for transparent parts."""
    if image.mode.startswith("I;16"):
        pixels = np.asarray(image)
        if pixels.max() < 2**12:
            raise InputError("a 16-bit picture that uses at most 12 bits; allowed: values over the full 16-bit range")
        image = Image.fromarray((pixels >> 8).astype(np.uint8))
    elif image.mode in ("I", "F"):
        raise InputError(f"pixels of 32 bits (mode {image.mode}); allowed: 8 or 16 bits per channel")
    elif image.has_transparency_data:
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image.convert("RGBA"))
    return image.convert("RGB" if channels == 3 else "L")


def _tile(part: Image.Image, size: int) -> np.ndarray:
    if part.size != (size, size):
        # MedMNIST's tiles were saved as JPEG files, too. Pillow's JPEG library is not MedMNIST's (IJG 9), so pixels
        # differ by 1.4 grey levels on average.
        small = part.resize((size, size), Image.Resampling.BILINEAR)
        part = Image.open(io.BytesIO(_jpeg(small, _JPEG_QUALITY)))
    return np.asarray(part).reshape(size, size, -1)


def _preview(part: Image.Image, side: int) -> bytes:
    preview = part.copy()
    preview.thumbnail((side, side))
    return _jpeg(preview, _PREVIEW_QUALITY)


def _jpeg(image: Image.Image, quality: int) -> bytes:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return file.getvalue()
