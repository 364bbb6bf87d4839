"""The data set of a search: found, checked, audited for copies, and loaded without its test split."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import logging
import os
import tokenize
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.npyio import NpzFile

from bloodtune import fetch
from bloodtune.errors import InputError

SYNTHETIC = "synthetic"
ENVIRONMENT = "BLOODTUNE_DATA"
SPLITS = ("train", "val", "test")
SMALLEST = 8  # pixels: the CNN halves three times

_ARRAYS = tuple(f"{split}_{kind}" for split in SPLITS for kind in ("images", "labels"))
# All that np.load raises for files that are not what they seem; the last two come from damaged headers.
_DAMAGE = (
    *(OSError, ValueError, EOFError, KeyError, RuntimeError, zipfile.BadZipFile, zlib.error),
    *(TypeError, tokenize.TokenError),
)
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Split:
    """One split: ``images`` uint8 (N, H, W, C), C-contiguous, C = 1 where grey; ``labels`` int64 (N,)."""

    images: np.ndarray[Any, np.dtype[np.uint8]]
    labels: np.ndarray[Any, np.dtype[np.int64]]


@dataclass(frozen=True)
class Dataset:
    """What a search knows of its data: images of the training and validation split, counts of all three.

    ``title`` is the stem of the file or "synthetic", ``source`` its absolute path or "synthetic", ``md5``
    that of the file. ``fell_back`` is true where the official file could not be had and nobody named one.
    ``split_sizes`` and ``class_counts`` (in the order of ``class_names``) have the keys train, val and test.
    ``audit`` counts exact copies: "train" the images equal to an earlier one of that split, "train_test" the
    images of the second split that also are in the first.
    """

    title: str
    source: str
    md5: str
    synthetic: bool
    fell_back: bool
    class_names: tuple[str, ...]
    train: Split
    val: Split
    split_sizes: dict[str, int]
    class_counts: dict[str, tuple[int, ...]]
    audit: dict[str, int]

    @property
    def image_bytes(self) -> int:
        """Size of the images of both splits."""
        return self.train.images.nbytes + self.val.images.nbytes


def load_dataset(asked: str | None = None, *, cluster: bool = False) -> Dataset:
    """Find, check and load a data set (0.8 s for the 17,092 images of BloodMNIST at 28 pixels).

    ``asked`` is the path of an ``.npz`` file, a MedMNIST name such as ``bloodmnist_64``, or ``synthetic``.
    Where it is None, the environment variable ``BLOODTUNE_DATA`` says; else it is the official BloodMNIST
    file, or the built-in stand-in where that cannot be had. On a cluster nothing stands in unless asked for.

    Raises:
        InputError: the name is not known, the file cannot be had, or something in it is not as it must be.
    """
    variable = os.environ.get(ENVIRONMENT)
    if asked is not None or not variable:
        source, fell_back = _find(asked, cluster)
        return _load(source, fell_back)
    try:
        return _load(*_find(variable, cluster))
    except InputError as error:
        raise InputError(f"{ENVIRONMENT}: {error}") from None


def load_test_split(dataset_source: str, md5: str) -> Split:
    """Load the test split of a finished search; for the analysis alone.

    Raises:
        InputError: the file at ``dataset_source`` is not the one with this MD5, or cannot be read.
    """
    path = _path(dataset_source)
    found = fetch.file_md5(path)
    if found != md5:
        raise InputError(f"{path} has MD5 {found}, but the search ran on a file with {md5}; restore it")
    with _open(path) as archive:
        return _read_split(archive, "test", path)


def load_images(path: Path) -> dict[str, np.ndarray[Any, np.dtype[np.uint8]]]:
    """Return the arrays of images in an ``.npz`` file, uint8 (N, H, W, C), by name, without regard to labels.

    Raises:
        InputError: the file cannot be read or none of its arrays has a name that ends in ``images``.
    """
    with _open(path, needed=()) as archive:
        names = [name for name in archive.files if name.endswith("images")]
        if not names:
            raise InputError(f"{path}: no array of images; {_found(archive)}; allowed: names that end in images")
        arrays = {name: _read_array(archive, name, path) for name in names}
    for name, images in arrays.items():
        _check_images(images, f"{path}: {name}")
    return {name: _with_channels(images) for name, images in arrays.items()}


def _find(asked: str | None, cluster: bool) -> tuple[str, bool]:
    """Return the source, an absolute path or "synthetic", and whether it is the stand-in nobody asked for."""
    if asked is None:
        try:
            return str(fetch.fetch(fetch.OFFICIAL)), False
        except fetch.UnavailableError as error:
            if cluster:
                raise
            _log.warning("%s; the built-in synthetic stand-in is used", error)
            return SYNTHETIC, True
    if asked == SYNTHETIC:
        return SYNTHETIC, False
    path = os.path.abspath(os.path.expanduser(asked))
    if asked.endswith(".npz") or os.path.isfile(path) or os.sep in asked:
        return path, False
    return str(fetch.fetch(fetch.check_name(asked))), False


def _path(source: str) -> Path:
    if source != SYNTHETIC:
        return Path(source)
    # Imported here: it draws images, which a search on real data never needs.
    from bloodtune.synthetic import load_standin

    return load_standin()


def _load(source: str, fell_back: bool) -> Dataset:
    """Read all three splits, check them against each other, and keep only counts of the test split."""
    path = _path(source)
    md5 = fetch.file_md5(path)
    kept: dict[str, Split] = {}
    counts: dict[str, tuple[int, ...]] = {}
    digests: dict[str, list[bytes]] = {}
    with _open(path) as archive:
        for name in SPLITS:
            split = _read_split(archive, name, path)
            _check_shape(split, kept.get("train", split), f"{path}: {name}_images")
            counts[name] = _count_classes(split, len(counts.get("train", ())), f"{path}: {name}_labels")
            digests[name] = _digest_images(split)
            if name != "test":
                kept[name] = split
    sizes = {name: sum(counts[name]) for name in SPLITS}
    height, channels = kept["train"].images.shape[2:]
    names = fetch.match_class_names(height, channels, len(counts["train"]), sizes)
    return Dataset(
        title=SYNTHETIC if source == SYNTHETIC else path.stem,
        source=source,
        md5=md5,
        synthetic=source == SYNTHETIC,
        fell_back=fell_back,
        class_names=fetch.class_names(fetch.OFFICIAL) if source == SYNTHETIC else names,
        train=kept["train"],
        val=kept["val"],
        split_sizes=sizes,
        class_counts=counts,
        audit=_audit(digests),
    )


@contextlib.contextmanager
def _open(path: Path, needed: Sequence[str] = _ARRAYS) -> Iterator[NpzFile]:
    try:
        stream = path.open("rb")  # ours to close: np.load leaves a damaged file open
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}; allowed: a MedMNIST .npz file") from None
    with stream as file:
        head = file.read(2)
        if not head:
            raise InputError(f"{path} is empty (0 bytes); allowed: a MedMNIST .npz file")
        if not zipfile.is_zipfile(file):
            found = "is a truncated .npz file" if head == b"PK" else "is not an .npz file"
            raise InputError(f"{path} {found} (no zip directory at its end); allowed: a MedMNIST .npz file")
        try:
            file.seek(0)
            archive = np.load(file, allow_pickle=False)
        except _DAMAGE as error:
            raise InputError(f"{path} cannot be read ({_one_line(error)}); allowed: a MedMNIST .npz file") from None
        if not isinstance(archive, NpzFile):  # a zip archive behind an array
            raise InputError(f"{path} is not an .npz file; allowed: a MedMNIST .npz file")
        with archive:
            missing = [name for name in needed if name not in archive.files]
            if missing:
                allowed = ", ".join(needed)
                raise InputError(f"{path}: {', '.join(missing)} missing; {_found(archive)}; allowed: {allowed}")
            yield archive


def _found(archive: NpzFile) -> str:
    return f"found {_one_line(', '.join(archive.files[:12]) or 'no array')}"


def _read_split(archive: NpzFile, name: str, path: Path) -> Split:
    """Read one split and check what can be checked without the others."""
    images = _read_array(archive, f"{name}_images", path)
    labels = _read_array(archive, f"{name}_labels", path)
    _check_images(images, f"{path}: {name}_images")
    _check_labels(labels, f"{path}: {name}_labels")
    if len(images) != len(labels):
        raise InputError(
            f"{path}: {name}_images has {len(images)} images and {name}_labels has {len(labels)} labels; "
            f"allowed: one label an image"
        )
    return Split(_with_channels(images), labels.reshape(-1).astype(np.int64))


def _with_channels(images: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return np.ascontiguousarray(images[..., np.newaxis] if images.ndim == 3 else images)


def _read_array(archive: NpzFile, name: str, path: Path) -> np.ndarray[Any, Any]:
    try:
        array = archive[name]
    except MemoryError:
        raise InputError(f"{path}: {name} does not fit into memory; allowed: a smaller set") from None
    except _DAMAGE as error:
        raise InputError(f"{path}: {name} cannot be read ({_one_line(error)}); allowed: a numpy array") from None
    if not isinstance(array, np.ndarray):
        raise InputError(f"{path}: {name} is not in numpy's format; allowed: a numpy array")
    return array


def _check_images(images: np.ndarray[Any, Any], where: str) -> None:
    if images.dtype != np.uint8:
        nan = " with NaN" if images.dtype.kind == "f" and np.isnan(images).any() else ""
        raise InputError(f"{where} is {images.dtype}{nan}; allowed: uint8")
    grey, colour = images.ndim == 3, images.ndim == 4 and images.shape[3] in (1, 3)
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
    if labels.dtype.kind not in "iu":
        nan = " with NaN" if labels.dtype.kind == "f" and np.isnan(labels).any() else ""
        raise InputError(f"{where} is {labels.dtype}{nan}; allowed: integers")
    if labels.ndim == 2 and labels.shape[1] > 1:
        raise InputError(
            f"{where} has shape {labels.shape}, a multi-label set such as chestmnist; allowed: (N,) or (N, 1)"
        )
    if labels.ndim != 1 and (labels.ndim != 2 or labels.shape[1] != 1):
        raise InputError(f"{where} has shape {labels.shape}; allowed: (N,) or (N, 1)")


def _check_shape(split: Split, train: Split, where: str) -> None:
    if split.images.shape[1:] != train.images.shape[1:]:
        raise InputError(
            f"{where} has images of {split.images.shape[1:]}; allowed: {train.images.shape[1:]}, as in train"
        )


def _count_classes(split: Split, classes: int, where: str) -> tuple[int, ...]:
    """Count the images of each class; the training split (``classes`` = 0) decides how many there are."""
    present, counts = np.unique(split.labels, return_counts=True)
    classes = classes or int(present[-1]) + 1
    if present[0] < 0:
        raise InputError(f"{where} has label {present[0]}; allowed: 0 and above")
    if present[-1] >= classes:
        raise InputError(f"{where} has label {present[-1]}; allowed: 0 to {classes - 1}, as in train_labels")
    if classes < 2:
        raise InputError(f"{where} has one class; allowed: two or more")
    if len(present) < classes:
        missing = next(i for i, label in enumerate((*present, -1)) if label != i)
        raise InputError(f"{where} has no image of class {missing}; allowed: each of the classes 0 to {classes - 1}")
    return tuple(counts.tolist())


def _digest_images(split: Split) -> list[bytes]:
    return [hashlib.blake2b(image, digest_size=16).digest() for image in split.images]


def _audit(digests: dict[str, list[bytes]]) -> dict[str, int]:
    """Count the copies within each split, then those in the second split of each pair."""
    distinct = {name: set(digests[name]) for name in SPLITS}
    within = {name: len(digests[name]) - len(distinct[name]) for name in SPLITS}
    across = {
        f"{first}_{second}": sum(digest in distinct[first] for digest in digests[second])
        for first, second in itertools.combinations(SPLITS, 2)
    }
    return within | across


def _one_line(text: object) -> str:
    return " ".join(str(text).split()) or type(text).__name__
