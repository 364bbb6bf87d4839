"""Tiles of many photographs: read on all cores, and kept in the user's cache folder."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import PIL
import platformdirs
from PIL import Image
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from bloodtune.data import bit_depth, photographs, picture_files
from bloodtune.data.parallel_map import map_in_threads
from bloodtune.data.photographs import read_tile
from bloodtune.data.room import check_memory
from bloodtune.errors import InputError, plural

CHANNELS = 3  # grey photographs become colour images with equal channels
CACHE_BYTES = 4 * 2**30  # of the whole cache
_AHEAD = 64  # photographs per thread
_COPIES = 3  # of the images that are in memory at a time: as read, by split, and in Ray's object store

_T = TypeVar("_T")


@dataclass(frozen=True, eq=False)
class Tiles:
    """The tiles of N photographs, in their order.

    Attributes:
        images: uint8 (N, S, S, 3); zeros where a photograph could not be read.
        sizes: width and height of the photographs in pixels, int64 (N, 2); zeros where unknown.
        reasons: why a photograph could not be read (N,); empty strings for those that could.
        digests: hexadecimal digests of the files (N,).
    """

    images: np.ndarray
    sizes: np.ndarray
    reasons: tuple[str, ...]
    digests: tuple[str, ...]


def read_tiles(root: Path, files: Sequence[str], *, size: int, crop: int | None) -> Tiles:
    """Read the tiles of the photographs ``files`` below ``root``, or get them from the cache.

    The cache has one file per set of contents, size, crop, version of Pillow and of the code that reads photographs.
    ``size`` and ``crop`` are arguments of ``photographs.read_tile``. A bar on the terminal shows the progress.

    Raises:
        InputError: they do not fit into memory.
    """
    digests = tuple(_with_bar(lambda file: _digest(root / file), files, "checking photographs"))
    readers = (bit_depth, photographs, picture_files)
    code = hashlib.sha256(b"".join(Path(str(module.__file__)).read_bytes() for module in readers)).hexdigest()
    recipe = json.dumps([size, crop, PIL.__version__, code, digests])
    name = f"{hashlib.sha256(recipe.encode()).hexdigest()[:40]}.npz"
    cache = platformdirs.user_cache_path("bloodtune") / "tiles" / name
    if cached := _load(cache, (len(files), size, size, CHANNELS)):
        return Tiles(*cached, digests)
    what = f"{root}: {plural(len(files), 'photograph')} of {size} x {size} pixels"
    check_memory(_COPIES * len(files) * size * size * CHANNELS, what, "allowed: a smaller --size, or fewer of them")
    read = list(_with_bar(lambda file: _read(root / file, size, crop), files, "reading photographs"))
    images, sizes = np.stack([one[0] for one in read]), np.array([one[1] for one in read])
    reasons = tuple(one[2] for one in read)
    _save(cache, images=images, sizes=sizes, reasons=np.array(reasons))
    return Tiles(images, sizes, reasons, digests)


def _digest(file: Path) -> str:
    try:
        return hashlib.blake2b(file.read_bytes(), digest_size=16).hexdigest()
    except OSError:
        return ""


def _read(file: Path, size: int, crop: int | None) -> tuple[np.ndarray, tuple[int, int], str]:
    nothing = np.zeros((size, size, CHANNELS), np.uint8)
    try:
        content = file.read_bytes()  # once, for the tile and for the size
    except OSError as error:
        return nothing, (0, 0), f"cannot be read: {error.strerror}"
    width, height = 0, 0
    with contextlib.suppress(Exception), Image.open(io.BytesIO(content)) as image:  # read_tile gives the reason
        width, height = image.size
    try:
        return read_tile(io.BytesIO(content), size=size, channels=CHANNELS, crop=crop)[0], (width, height), ""
    except InputError as error:
        return nothing, (width, height), str(error)


def _with_bar(function: Callable[[str], _T], files: Sequence[str], title: str) -> Iterator[_T]:
    """Yield the results of threads in order."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    bar = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
    with bar:
        yield from bar.track(map_in_threads(function, files, ahead=_AHEAD), len(files), description=title)


def _load(cache: Path, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]] | None:
    damage = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error)
    with contextlib.suppress(*damage), cache.open("rb") as stream, np.load(stream) as arrays:
        images, sizes, reasons = arrays["images"], arrays["sizes"], arrays["reasons"]
        if images.shape == shape and len(sizes) == len(reasons) == len(images):
            os.utime(cache)  # used now: the last to go
            return images, sizes, tuple(reasons.tolist())
    return None


def _save(cache: Path, **arrays: np.ndarray) -> None:
    # A search needs no cache: a full disk or a folder without write access costs only the next start.
    with contextlib.suppress(OSError):
        cache.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache.parent) as folder:
            np.savez(Path(folder) / cache.name, **arrays)  # type: ignore[arg-type]
            (Path(folder) / cache.name).replace(cache)
        _prune(cache)


def _prune(kept: Path) -> None:
    """Delete the files of the cache that were not used for longest until it holds ``CACHE_BYTES``; never ``kept``."""
    files = [(file.stat().st_mtime, file.stat().st_size, file) for file in kept.parent.glob("*.npz") if file != kept]
    total = kept.stat().st_size
    for _, size, file in sorted(files, reverse=True):
        total += size
        if total > CACHE_BYTES:
            file.unlink()
