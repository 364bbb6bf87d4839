"""Data set of a search: lookup, loading without the test split, audit for duplicate images."""

from __future__ import annotations

import hashlib
import itertools
import logging
import os
from dataclasses import dataclass
from pathlib import Path

from bloodtune.data import medmnist
from bloodtune.data.npz import SPLITS, Split, check_shape, count_classes, open_archive, read_split
from bloodtune.data.synthetic import load_standin
from bloodtune.errors import InputError

SYNTHETIC = "synthetic"
ENVIRONMENT = "BLOODTUNE_DATA"
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Dataset:
    """The images of the training and validation split, and image counts of all three splits.

    ``title`` is the file's name without suffix or "synthetic", ``source`` its absolute path or "synthetic".
    ``fell_back`` is true if no data set was named and the official file was unavailable. ``split_sizes`` and
    ``class_counts`` (in the order of ``class_names``) have the keys train, val and test. ``audit`` counts exact
    duplicates: ``train`` counts images that equal an earlier training image, ``train_test`` the test images that are
    also training images.
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
        """Size in bytes of the training and validation images."""
        return self.train.images.nbytes + self.val.images.nbytes


def load_dataset(asked: str | None = None, *, cluster: bool = False) -> Dataset:
    """Find, check and load a data set (0.8 s for the 17,092 images of BloodMNIST at 28 pixels).

    ``asked`` is the path of an ``.npz`` file, a MedMNIST name such as ``bloodmnist_64``, or ``synthetic``. If it is
    None, the environment variable ``BLOODTUNE_DATA`` applies, or else the official BloodMNIST file. If the official
    file is unavailable, the built-in synthetic data set is loaded, but not on a cluster.

    Raises:
        InputError: the name is unknown, the file is unavailable, or its content is not allowed.
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
    """Load the test split of a finished search. Only the analysis may call this.

    Raises:
        InputError: the file at ``dataset_source`` is not the one with this MD5, or cannot be read.
    """
    path = _path(dataset_source)
    found = medmnist.file_md5(path)
    if found != md5:
        raise InputError(f"{path} has MD5 {found}, but the search ran on a file with MD5 {md5}; restore that file")
    with open_archive(path) as archive:
        return read_split(archive, "test", path)


def _find(asked: str | None, cluster: bool) -> tuple[str, bool]:
    """Return the source (an absolute path or "synthetic") and whether the synthetic set replaces the official file."""
    if asked is None:
        try:
            return str(medmnist.fetch(medmnist.OFFICIAL)), False
        except medmnist.UnavailableError as error:
            if cluster:
                raise
            _log.warning("%s; the built-in synthetic data set is used instead", error)
            return SYNTHETIC, True
    if asked == SYNTHETIC:
        return SYNTHETIC, False
    path = os.path.abspath(os.path.expanduser(asked))
    if asked.endswith(".npz") or os.path.isfile(path) or os.sep in asked:
        return path, False
    return str(medmnist.fetch(medmnist.check_name(asked))), False


def _path(source: str) -> Path:
    return load_standin() if source == SYNTHETIC else Path(source)


def _load(source: str, fell_back: bool) -> Dataset:
    """Read and check all three splits; keep only the counts of the test split."""
    path = _path(source)
    md5 = medmnist.file_md5(path)
    kept: dict[str, Split] = {}
    counts: dict[str, tuple[int, ...]] = {}
    digests: dict[str, list[bytes]] = {}
    with open_archive(path) as archive:
        for name in SPLITS:
            split = read_split(archive, name, path)
            check_shape(split, kept.get("train", split), f"{path}: {name}_images")
            counts[name] = count_classes(split, len(counts.get("train", ())), f"{path}: {name}_labels")
            digests[name] = _digest_images(split)
            if name != "test":
                kept[name] = split
    sizes = {name: sum(counts[name]) for name in SPLITS}
    height, channels = kept["train"].images.shape[2:]
    names = medmnist.match_class_names(height, channels, len(counts["train"]), sizes)
    return Dataset(
        title=SYNTHETIC if source == SYNTHETIC else path.stem,
        source=source,
        md5=md5,
        synthetic=source == SYNTHETIC,
        fell_back=fell_back,
        class_names=medmnist.class_names(medmnist.OFFICIAL) if source == SYNTHETIC else names,
        train=kept["train"],
        val=kept["val"],
        split_sizes=sizes,
        class_counts=counts,
        audit=_audit(digests),
    )


def _digest_images(split: Split) -> list[bytes]:
    return [hashlib.blake2b(image, digest_size=16).digest() for image in split.images]


def _audit(digests: dict[str, list[bytes]]) -> dict[str, int]:
    """Count duplicates within each split and, for each pair of splits, images of the second that are in the first."""
    distinct = {name: set(digests[name]) for name in SPLITS}
    within = {name: len(digests[name]) - len(distinct[name]) for name in SPLITS}
    across = {
        f"{first}_{second}": sum(digest in distinct[first] for digest in digests[second])
        for first, second in itertools.combinations(SPLITS, 2)
    }
    return within | across
