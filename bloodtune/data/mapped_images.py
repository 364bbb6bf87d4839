"""Images mapped from one uncompressed file per split in the user's cache folder, shared by all processes of a host."""

from __future__ import annotations

import contextlib
import math
import mmap
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import platformdirs
from numpy.lib import format as npy
from numpy.lib.npyio import NpzFile

from bloodtune.data.npz import DAMAGE, Split, array_header, check_labelled, open_array, read_header, read_split
from bloodtune.data.room import free_disk, free_memory, gigabytes
from bloodtune.errors import InputError, one_line

CACHE_BYTES = 4 * 2**30  # of files that no search has used for a day
_DAY = 86400.0


@dataclass(frozen=True, eq=False)
class MappedSplit(Split):
    """A split whose images are the first ones in ``file``, and are read from it when they are used.

    A pickle of it has the file's name and the labels, so that another process on this host maps the same file.
    """

    file: Path

    @classmethod
    def open(cls, file: Path, labels: np.ndarray) -> MappedSplit:
        """Map a file of images, ``.npy``; raises OSError or ValueError if it is missing or damaged."""
        return cls(np.load(file, mmap_mode="r")[: len(labels)], labels, file)

    def __reduce__(self) -> tuple[Callable[..., MappedSplit], tuple[Path, np.ndarray]]:
        """Pickle the name of the file and the labels, without the images."""
        return MappedSplit.open, (self.file, self.labels)

    def first(self, count: int) -> MappedSplit:
        """Return the first images, also mapped."""
        return MappedSplit(self.images[:count], self.labels[:count], self.file)

    def reader(self) -> Callable[[Sequence[int]], None] | None:
        """Expect reads in random order, and return a function that starts to read the images of these numbers.

        Linux reads megabytes around each access to a mapped file, which would read a large set many times per epoch.
        None where the system takes no such advice, and for images smaller than a page.
        """
        size = self.images[0].nbytes
        if sys.platform == "win32" or size < mmap.PAGESIZE or not hasattr(mmap, "MADV_RANDOM"):
            return None
        assert isinstance(self.images, np.memmap)
        begun = self.images.offset
        memory: Any = self.images.base
        while not isinstance(memory, mmap.mmap):
            memory = memory.base
        memory.madvise(mmap.MADV_RANDOM)

        def read(rows: Sequence[int]) -> None:
            for row in rows:
                start = begun + row * size
                page = start - start % mmap.PAGESIZE
                memory.madvise(mmap.MADV_WILLNEED, page, start + size - page)

        return read

    def in_memory(self) -> Split:
        """Return a split whose pickle has the images."""
        return Split(np.asarray(self.images), self.labels)


def map_splits(archive: NpzFile, names: Sequence[str], path: Path, md5: str) -> dict[str, Split]:
    """Return splits of an ``.npz`` file, with images that are mapped from the cache and written there if missing.

    If the cache cannot be written or has no room, the images are read into memory.

    Raises:
        InputError: an array cannot be used, or the images fit neither on the disk nor into memory; the message has the
            numbers.
    """
    files = {name: folder() / f"{md5}-{name}.npy" for name in names}
    shapes = {name: _shape(archive, name) for name in names}
    if not all(shapes.values()):
        return {name: read_split(archive, name, path) for name in names}  # which says what is wrong
    missing = [name for name in names if not _is_whole(files[name], shapes[name])]
    if missing and not _has_room(sum(_bytes(shapes[name]) for name in missing), path):
        return {name: read_split(archive, name, path) for name in names}
    splits: dict[str, Split] = {}
    for name in names:
        try:
            if name in missing:
                _write(archive, name, path, files[name], shapes[name])
            os.utime(files[name])
            splits[name] = _open(archive, name, path, files[name])
        except OSError:  # such as a folder without write access
            splits[name] = read_split(archive, name, path)
    _prune(set(files.values()))
    return splits


def folder() -> Path:
    """Return the folder of the files."""
    return platformdirs.user_cache_path("bloodtune") / "images"


def _shape(archive: NpzFile, name: str) -> tuple[int, ...]:
    # Of the images with channels; empty if the array is not one that can be copied as it is.
    header = array_header(archive, f"{name}_images")
    if header is None or header.dtype != np.uint8 or header.is_fortran or len(header.shape) not in (3, 4):
        return ()
    return (*header.shape, 1) if len(header.shape) == 3 else header.shape


def _bytes(shape: tuple[int, ...]) -> int:
    return math.prod(shape)


def _is_whole(file: Path, shape: tuple[int, ...]) -> bool:
    with contextlib.suppress(OSError, ValueError):
        return bool(np.load(file, mmap_mode="r").shape == shape)
    return False


def _has_room(needed: int, path: Path) -> bool:
    room, memory = free_disk(folder()), free_memory()
    if needed < room:
        return True
    # In memory the images of training and validation are there twice: in this process and in Ray's object store.
    if memory is not None and 2 * needed > memory:
        where = f"{gigabytes(room)} are free in {folder()}, and {gigabytes(memory)} of memory"
        raise InputError(
            f"{path}: its images take {gigabytes(needed)}; {where}; allowed: room for them there, or in the "
            "folder that XDG_CACHE_HOME names"
        )
    return False


def _write(archive: NpzFile, name: str, path: Path, file: Path, shape: tuple[int, ...]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.with_name(f".{file.name}-{os.getpid()}")
    try:
        with temporary.open("wb") as copy:
            npy.write_array_header_1_0(copy, {"descr": "|u1", "fortran_order": False, "shape": shape})
            begun = copy.tell()
            _copy(archive, name, path, copy)
            if copy.tell() - begun != _bytes(shape):
                raise InputError(f"{path}: {name}_images cannot be read (it ends early); allowed: a numpy array")
        temporary.replace(file)
    finally:
        temporary.unlink(missing_ok=True)


def _copy(archive: NpzFile, name: str, path: Path, copy: IO[bytes]) -> None:
    try:
        with open_array(archive, f"{name}_images") as stream:
            read_header(stream)
            while chunk := stream.read(2**20):
                copy.write(chunk)
    except DAMAGE as error:
        if isinstance(error, OSError) and error.errno is not None:  # of the disk, not of the archive
            raise
        raise InputError(f"{path}: {name}_images cannot be read ({one_line(error)}); allowed: a numpy array") from None


def _open(archive: NpzFile, name: str, path: Path, file: Path) -> Split:
    images = np.load(file, mmap_mode="r")
    return MappedSplit(images, check_labelled(archive, name, path, images), file)


def _prune(kept: set[Path]) -> None:
    # A search that still runs may have mapped what was used within a day. A hidden file is one that was never whole.
    with contextlib.suppress(OSError):
        files = [(file.stat().st_mtime, file.stat().st_size, file) for file in folder().iterdir()]
        total = 0
        for used, size, file in sorted(files, reverse=True):
            total += size
            is_surplus = total > CACHE_BYTES or file.name.startswith(".")
            if is_surplus and file not in kept and time.time() - used > _DAY:
                file.unlink()
