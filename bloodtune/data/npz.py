"""MedMNIST .npz files: opening, reading split by split, checks of images and labels."""

from __future__ import annotations

import contextlib
import errno
import itertools
import lzma
import math
import tokenize
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
from numpy.lib import format as npy
from numpy.lib.npyio import NpzFile

from bloodtune.data.room import check_memory
from bloodtune.errors import InputError, one_line, plural

SPLITS = ("train", "val", "test")
SMALLEST = 8  # pixels: the CNN halves three times

_ARRAYS = tuple(f"{split}_{kind}" for split in SPLITS for kind in ("images", "labels"))
_BEGINNINGS = (b"PK\3\4", b"PK\5\6")  # the second one of an archive without a file

# All exceptions that np.load raises for damaged files. The second line comes from damaged headers.
DAMAGE = (
    *(OSError, ValueError, EOFError, KeyError, RuntimeError, zipfile.BadZipFile, zlib.error, lzma.LZMAError),
    *(TypeError, SyntaxError, OverflowError, tokenize.TokenError),
)


@dataclass(frozen=True)
class Split:
    """One split: ``images`` uint8 (N, H, W, C), C-contiguous, C = 1 for grey images; ``labels`` int64 (N,)."""

    images: np.ndarray[Any, np.dtype[np.uint8]]
    labels: np.ndarray[Any, np.dtype[np.int64]]

    def first(self, count: int) -> Split:
        """Return a copy of the first images."""
        return Split(self.images[:count].copy(), self.labels[:count].copy())

    def in_memory(self) -> Split:
        """Return a split whose pickle has the images: this one."""
        return self

    def reader(self) -> Callable[[Sequence[int]], None] | None:
        """Return a function that starts to read images from the disk; None, because they are in memory."""
        return None


class Header(NamedTuple):
    """The header of an array; ``is_fortran``: its first index varies fastest."""

    shape: tuple[int, ...]
    is_fortran: bool
    dtype: np.dtype[Any]


def load_images(path: Path) -> dict[str, np.ndarray[Any, np.dtype[np.uint8]]]:
    """Return the arrays of an ``.npz`` file whose names end in ``images``, each uint8 (N, H, W, C).

    Raises:
        InputError: the file cannot be read or has no such array.
    """
    with open_archive(path, needed=()) as archive:
        names = [name for name in archive.files if name.endswith("images")]
        if not names:
            raise InputError(f"{path} has no array of images; {_found(archive)}; allowed: names that end in images")
        arrays = {name: _read_array(archive, name, path) for name in names}
    for name, images in arrays.items():
        _check_images(images, f"{path}: {name}")
    return {name: _with_channels(images) for name, images in arrays.items()}


@contextlib.contextmanager
def open_archive(path: Path, needed: Sequence[str] = _ARRAYS) -> Iterator[NpzFile]:
    """Open an ``.npz`` file and check that it has the arrays ``needed``.

    Raises:
        InputError: the file is unreadable, is not an ``.npz`` file, or lacks a needed array.
    """
    try:
        stream = path.open("rb")  # np.load would leave a damaged file open
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}; allowed: a MedMNIST .npz file") from None
    with stream as file:
        head = file.read(4)
        if not head:
            raise InputError(f"{path} is empty (0 bytes); allowed: a MedMNIST .npz file")
        if not zipfile.is_zipfile(file):
            found = "is a truncated .npz file" if head[:2] == b"PK" else "is not an .npz file"
            raise InputError(f"{path} {found} (no zip directory at its end); allowed: a MedMNIST .npz file")
        if head not in _BEGINNINGS:  # np.load would take it for an array or a pickle
            raise InputError(f"{path} does not begin as an .npz file does; allowed: a MedMNIST .npz file")
        try:
            file.seek(0)
            archive = np.load(file, allow_pickle=False)
        except DAMAGE as error:
            raise InputError(f"{path} cannot be read ({_reason(error)}); allowed: a MedMNIST .npz file") from None
        with archive:
            missing = [name for name in needed if name not in archive.files]
            if missing:
                allowed = ", ".join(needed)
                raise InputError(f"{path} lacks {', '.join(missing)}; {_found(archive)}; needed: {allowed}")
            yield archive


def _reason(error: BaseException) -> str:
    # The words of these two do not say that the file is at fault.
    if isinstance(error, OSError) and error.errno == errno.EINVAL:
        return "its zip directory names a place that it does not have"
    return "its header is damaged" if isinstance(error, tokenize.TokenError) else one_line(error)


def _found(archive: NpzFile) -> str:
    return f"found {one_line(', '.join(archive.files[:12]) or 'no array')}"


def read_split(archive: NpzFile, name: str, path: Path) -> Split:
    """Read one split; check its images and labels, without regard to other splits."""
    images = _read_array(archive, f"{name}_images", path)
    return Split(_with_channels(images), check_labelled(archive, name, path, images))


def check_labelled(archive: NpzFile, name: str, path: Path, images: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Check the images and the labels of one split; return the labels, int64 (N,)."""
    labels = _read_array(archive, f"{name}_labels", path)
    _check_images(images, f"{path}: {name}_images")
    _check_labels(labels, f"{path}: {name}_labels")
    if len(images) != len(labels):
        raise InputError(
            f"{path}: {name}_images has {len(images)} images and {name}_labels has {len(labels)} labels; "
            f"allowed: one label per image"
        )
    return labels.reshape(-1).astype(np.int64)


def array_header(archive: NpzFile, name: str) -> Header | None:
    """Return the header of an array without reading the array; None if it is not in numpy's format."""
    try:
        with open_array(archive, name) as stream:
            return read_header(stream)
    except (*DAMAGE, AttributeError):
        return None


def open_array(archive: NpzFile, name: str) -> IO[bytes]:
    """Return the open file of an array in an archive; raises one of ``DAMAGE``."""
    assert archive.zip is not None, "only a closed archive has none"
    return archive.zip.open(f"{name}.npy")


def read_header(stream: IO[bytes]) -> Header:
    """Read the header of an open file of an array; its content follows. Raises one of ``DAMAGE``."""
    readers = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
    return Header(*readers[npy.read_magic(stream)](stream))


def _with_channels(images: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return np.ascontiguousarray(images[..., np.newaxis] if images.ndim == 3 else images)


def _read_array(archive: NpzFile, name: str, path: Path) -> np.ndarray[Any, Any]:
    if header := array_header(archive, name):
        needed = math.prod(header.shape) * header.dtype.itemsize
        assert archive.zip is not None, "only a closed archive has none"
        found = archive.zip.getinfo(f"{name}.npy").file_size
        if needed > found:
            told = f"its header asks for {plural(needed, 'byte')}, and it has {found:,}"
            raise InputError(f"{path}: {name} cannot be read ({told}); allowed: a numpy array")
        check_memory(needed, f"{path}: {name}", "allowed: a smaller set")
    try:
        array = archive[name]
    except MemoryError:
        raise InputError(f"{path}: {name} does not fit into memory; allowed: a smaller set") from None
    except DAMAGE as error:
        raise InputError(f"{path}: {name} cannot be read ({_reason(error)}); allowed: a numpy array") from None
    if not isinstance(array, np.ndarray):
        raise InputError(f"{path}: {name} is not in numpy's format; allowed: a numpy array")
    return array


def _check_images(images: np.ndarray[Any, Any], where: str) -> None:
    if images.dtype != np.uint8:
        nan = " with NaN" if images.dtype.kind == "f" and np.isnan(images).any() else ""
        raise InputError(f"{where} is {images.dtype}{nan}; allowed: uint8")
    grey, colour = images.ndim == 3, images.ndim == 4 and images.shape[3] in (1, 3)
    if images.ndim == 4 and images.shape[1] in (1, 3) and not colour:
        way_out = "allowed: channels last, as images.transpose(0, 2, 3, 1) gives"
        raise InputError(f"{where} has shape {images.shape}, channels first; {way_out}")
    if not (grey or colour):
        volumes = images.ndim == 5 or (images.ndim == 4 and images.shape[3] > 4)
        kind = ", a 3-D set" if volumes else ""
        raise InputError(f"{where} has shape {images.shape}{kind}; allowed: (N, H, W) or (N, H, W, 3)")
    if images.size == 0:
        raise InputError(f"{where} has shape {images.shape}; allowed: at least one image")
    if images.shape[1] != images.shape[2]:
        raise InputError(f"{where} has shape {images.shape}; allowed: square images")
    if images.shape[1] < SMALLEST:
        raise InputError(f"{where} has shape {images.shape}; allowed: at least {SMALLEST} x {SMALLEST} pixels")


def _check_labels(labels: np.ndarray[Any, Any], where: str) -> None:
    if _one_hot(labels):
        way_out = "allowed: class numbers (N,), as labels.argmax(axis=1) gives"
        raise InputError(f"{where} has shape {labels.shape}, one-hot labels; {way_out}")
    if labels.dtype.kind not in "iu":
        nan = " with NaN" if labels.dtype.kind == "f" and np.isnan(labels).any() else ""
        raise InputError(f"{where} is {labels.dtype}{nan}; allowed: integers")
    if labels.ndim == 2 and labels.shape[1] > 1:
        raise InputError(
            f"{where} has shape {labels.shape}, a multi-label set such as chestmnist; allowed: (N,) or (N, 1)"
        )
    if labels.ndim != 1 and (labels.ndim != 2 or labels.shape[1] != 1):
        raise InputError(f"{where} has shape {labels.shape}; allowed: (N,) or (N, 1)")


def _one_hot(labels: np.ndarray[Any, Any]) -> bool:
    if labels.ndim != 2 or labels.shape[1] < 2 or labels.dtype.kind not in "iufb" or not len(labels):
        return False
    return bool(np.isin(labels, (0, 1)).all() and (labels.sum(axis=1) == 1).all())


def check_shape(split: Split, train: Split, where: str) -> None:
    """Check that the images of a split have the shape of the training images."""
    if split.images.shape[1:] != train.images.shape[1:]:
        raise InputError(
            f"{where} has images of {split.images.shape[1:]}; allowed: {train.images.shape[1:]}, as in train"
        )


def count_classes(split: Split, classes: int, where: str) -> tuple[int, ...]:
    """Count the images per class; ``classes`` is the number of classes, or 0 if this split (train) defines it."""
    present, counts = np.unique(split.labels, return_counts=True)
    classes = classes or int(present[-1]) + 1
    if present[0] < 0:
        raise InputError(f"{where} has label {present[0]}; allowed: 0 and above")
    if present[-1] >= classes:
        raise InputError(f"{where} has label {present[-1]}; allowed: 0 to {classes - 1}, as in train_labels")
    if classes < 2:
        raise InputError(f"{where} has one class; allowed: two or more")
    if len(present) < classes:
        there = set(present.tolist())
        missing = list(itertools.islice((label for label in range(classes) if label not in there), 3))
        others = f" and {classes - len(there) - 1:,} more" if len(missing) > 1 else ""
        allowed = f"allowed: each of the classes 0 to {classes - 1}"
        way_out = "number the classes from 0" if missing == [0] else "move images there, or leave the class out"
        raise InputError(f"{where} has no image of class {missing[0]}{others}; {allowed}; {way_out}")
    return tuple(counts.tolist())


def read_class_names(archive: NpzFile, classes: int, path: Path) -> tuple[str, ...] | None:
    """Return the array ``class_names`` as text, or None if the file has no such array.

    Raises:
        InputError: the array does not have a distinct name for each of the ``classes`` classes.
    """
    if "class_names" not in archive.files:
        return None
    array = _read_array(archive, "class_names", path)
    names = tuple(str(name).strip() for name in array.reshape(-1).tolist())
    if array.dtype.kind not in "UT" or len(names) != classes or len(set(names)) != classes or not all(names):
        given = f"{array.dtype} {one_line(', '.join(names[:12]))!r}"
        raise InputError(f"{path}: class_names is {given}; allowed: {classes} distinct names, one per class")
    return names


def read_groups(archive: NpzFile, sizes: Mapping[str, int], path: Path) -> dict[str, np.ndarray[Any, Any]]:
    """Return the arrays ``{split}_groups`` as text (N,) by split, or an empty dictionary if the file has none.

    Raises:
        InputError: an array is missing, or is not one text or integer per image; ``sizes`` are the images per split.
    """
    present = [f"{split}_groups" for split in sizes if f"{split}_groups" in archive.files]
    if not present:
        return {}
    groups = {}
    for split, images in sizes.items():
        name = f"{split}_groups"
        if name not in present:
            raise InputError(
                f"{path} has {', '.join(present)} and lacks {name}; allowed: groups of all splits, or none"
            )
        array = _read_array(archive, name, path)
        if array.dtype.kind not in "UTiu" or array.size != images:
            given = f"{array.dtype} of shape {array.shape}"
            raise InputError(f"{path}: {name} is {given}; allowed: {images} texts or integers, one per image")
        groups[split] = array.reshape(-1).astype(str)
    return groups
