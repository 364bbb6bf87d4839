"""Photographs of cells: search in folders, crop and scaling to tiles as in MedMNIST."""

from __future__ import annotations

import hashlib
import io
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np
from PIL import Image

from bloodtune.data.picture_files import heic_readable, open_pages, to_srgb
from bloodtune.errors import InputError

SUFFIXES = (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".tif", ".tiff", ".bmp", ".webp", ".gif")
HEIC = (".heic", ".heif")
REPEATED, HIDDEN = "given twice", "hidden"  # reasons to leave out a file, beside its suffix

# MedMNIST uses the middle 200 pixels of the smear crops of Acevedo et al. (2020), most of which have 360 x 363 pixels.
_CROP = 200
_SMEAR_CROP = range(340, 381)

_JPEG_QUALITY = 75
_PREVIEW_QUALITY = 80


class Found(NamedTuple):
    """The files among paths and the photographs of folders; and how many other files they hold, by reason.

    A reason is the suffix of a file, ``without a suffix``, ``given twice`` or ``hidden``.
    """

    files: list[Path]
    left_out: Counter[str]


class Tile(NamedTuple):
    """A picture for the network.

    Attributes:
        label: empty if the file has no other picture, or ``page 2``, or ``frame 1 of 12``.
        pixels: uint8 (S, S, C).
        preview: a larger picture of the same part as a JPEG file; empty unless requested.
    """

    label: str
    pixels: np.ndarray
    preview: bytes


def find_photographs(paths: Sequence[Path]) -> Found:
    """Find the files among ``paths``, and the photographs in and below the folders, sorted by name.

    Symbolic links are followed. A file that is reached twice is found once. Hidden files and files with other suffixes
    are left out of folders. A file among ``paths`` needs no suffix.

    Raises:
        InputError: a path does not exist, or a folder contains no photograph.
    """
    found = Found([], Counter())
    for file, reason in _walk(paths):
        if reason:
            found.left_out[reason] += 1
        else:
            found.files.append(file)
    return found


def suffixes() -> tuple[str, ...]:
    """Return the suffixes of the files that are read in folders, in lower case."""
    return SUFFIXES + HEIC if heic_readable() else SUFFIXES


def describe_left_out(files: Counter[str]) -> str:
    """Return the files that were left out in one line: "7 files left out: 5 .heic, 2 .txt"."""
    need = dict.fromkeys(HEIC, " (readable with the extra heic: pip install -e '.[heic]')")
    total = files.total()
    listed = ", ".join(f"{count:,} {reason}{need.get(reason, '')}" for reason, count in files.most_common())
    return f"{total:,} {'file' if total == 1 else 'files'} left out: {listed}"


def _walk(paths: Sequence[Path]) -> Iterator[tuple[Path, str]]:
    """Yield all files at and below ``paths``, each with the reason to leave it out or an empty string.

    A file that a folder leaves out is yielded once, however often the folder is reached.
    """
    seen, skipped = set[tuple[int, int]](), set[tuple[int, int]]()
    for path in paths:
        if not os.path.exists(path):
            raise InputError(f"{path}: no such file or folder")
        if not path.is_dir():
            yield path, _repeated(path, seen)
            continue
        found = False
        for file in _below(path):
            if reason := _reason_to_skip(file):
                if not _repeated(file, skipped):
                    yield file, reason
            else:
                found = True
                yield file, _repeated(file, seen)
        if not found:
            raise InputError(f"{path}: no photograph in this folder ({', '.join(suffixes())})")


def _reason_to_skip(file: Path) -> str:
    if file.name.startswith("."):
        return HIDDEN
    return "" if file.name.lower().endswith(suffixes()) else file.suffix.lower() or "without a suffix"


def _below(root: Path) -> Iterator[Path]:
    """Yield the files in and below a folder, through symbolic links; each folder is entered once."""
    entered = {_identity(root)}
    for folder, folders, names in os.walk(root, onerror=_raise, followlinks=True):
        # Links come last: a folder is then reached by its own name rather than by a link beside it.
        folders.sort(key=lambda name: (os.path.islink(os.path.join(folder, name)), name))
        for name in folders[:]:
            identity = _identity(Path(folder, name))
            if name.startswith(".") or identity in entered:
                folders.remove(name)
            entered.add(identity)
        yield from (Path(folder, name) for name in sorted(names))


def _identity(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_dev, found.st_ino


def _repeated(file: Path, seen: set[tuple[int, int]]) -> str:
    """Return ``REPEATED`` if the file is in ``seen``, otherwise an empty string; add it."""
    try:
        identity = _identity(file)
    except OSError:  # a link to nothing, which is said when it is read
        found = file.lstat()
        identity = found.st_dev, found.st_ino
    if identity in seen:
        return REPEATED
    seen.add(identity)
    return ""


def _raise(error: OSError) -> None:
    raise InputError(f"{error.filename} cannot be read: {error.strerror}")


def read_tile(
    source: Path | IO[bytes], *, size: int, channels: int, crop: int | None = None, preview: int = 0
) -> tuple[np.ndarray, bytes]:
    """Return tile and preview of a file with one picture; ``read_pages`` takes the same arguments.

    Raises:
        InputError: as ``read_pages``, or the file has several pages.
    """
    found = list(read_pages(source, size=size, channels=channels, crop=crop, preview=preview))
    if len(found) > 1:
        raise InputError(f"{len(found)} pages; allowed: one picture per file")
    return found[0].pixels, found[0].preview


def read_pages(
    source: Path | IO[bytes], *, size: int, channels: int, crop: int | None = None, preview: int = 0
) -> Iterator[Tile]:
    """Read the pictures of a file: one, or each page of a TIFF file. Of an animation, the first frame is read.

    Args:
        source: a JPEG, PNG, TIFF, BMP, WebP or GIF file; HEIC with the extra ``heic``.
        size: side of the tile in pixels.
        channels: channels of the tile, 3 for sRGB, 1 for grey.
        crop: side of the square to cut from the middle of the photograph, in pixels. If it is None, a photograph of
            the tile's size is used whole, and a smear crop of about 360 x 363 pixels is cut to the middle 200.
        preview: longest side of the preview in pixels; 0 for no preview.

    Raises:
        InputError: the file is not a photograph, is damaged or too large, or its size requires ``crop``.
    """
    for label, picture in open_pages(source):
        try:
            part = to_srgb(picture.crop(_box(*picture.size, size, crop)), channels)
        except InputError as error:
            raise InputError(f"{label}: {error}" if label else str(error)) from None
        yield make_tile(part, size, preview)._replace(label=label)


def make_tile(part: Image.Image, size: int, preview: int) -> Tile:
    """Scale a square part of a picture to a tile, with a preview if ``preview`` is not 0."""
    return Tile("", _tile(part, size), make_preview(part, preview) if preview else b"")


def digest_of(tile: np.ndarray) -> str:
    """Return the hexadecimal digest of a tile's pixels; copies of a picture have the same."""
    return hashlib.blake2b(tile.tobytes(), digest_size=16).hexdigest()


def tile_picture(tile: np.ndarray) -> bytes:
    """Return a tile, uint8 (H, W, C), as a JPEG file."""
    return _jpeg(Image.fromarray(tile.squeeze()), _PREVIEW_QUALITY)


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


def _tile(part: Image.Image, size: int) -> np.ndarray:
    if part.size != (size, size):
        # MedMNIST's tiles were saved as JPEG files, too. Pillow's JPEG library is not MedMNIST's (IJG 9), so pixels
        # differ by 1.4 grey levels on average.
        small = part.resize((size, size), Image.Resampling.BILINEAR)
        part = Image.open(io.BytesIO(_jpeg(small, _JPEG_QUALITY)))
    return np.asarray(part).reshape(size, size, -1)


def make_preview(part: Image.Image, side: int) -> bytes:
    """Return a picture as a JPEG file, reduced to ``side`` pixels at most."""
    preview = part.copy()
    preview.thumbnail((side, side))
    return _jpeg(preview, _PREVIEW_QUALITY)


def _jpeg(image: Image.Image, quality: int) -> bytes:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return file.getvalue()
