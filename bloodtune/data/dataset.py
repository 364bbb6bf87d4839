"""Data set of a search: lookup, loading without the test split, audit."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from bloodtune.data import medmnist
from bloodtune.data.audit import Audit, audit, find_copies, small_split_note
from bloodtune.data.folds import describe_folds, digest, fold_images, scored_counts
from bloodtune.data.mapped_images import MappedSplit, map_splits
from bloodtune.data.npz import (
    SPLITS,
    Split,
    check_shape,
    count_classes,
    open_archive,
    read_class_names,
    read_groups,
)
from bloodtune.data.preparation import Preparation
from bloodtune.data.raw_splits import Contents
from bloodtune.data.room import check_memory
from bloodtune.data.synthetic import load_standin
from bloodtune.data.table import Row
from bloodtune.errors import InputError

SYNTHETIC = "synthetic"
ENVIRONMENT = "BLOODTUNE_DATA"
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Dataset:
    """The images of the training and validation split, and image counts of all three splits.

    ``title`` is the name of the folder, or of the file without suffix, or "synthetic"; ``source`` its absolute path or
    "synthetic". ``fell_back`` is true if no data set was named and the official file was unavailable. ``split_sizes``
    and ``class_counts`` (in the order of ``class_names``) have the keys train, val and test. ``notes`` are sentences
    for the user on what was found. ``rows`` are the photographs of a folder, with their splits. ``groups`` has the
    names of the images' groups for each split, (N,), or is empty. ``folds`` is the result of ``fold_images``, or None.
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
    audit: Audit
    preparation: Preparation = field(default_factory=Preparation)
    notes: tuple[str, ...] = ()
    rows: tuple[Row, ...] = ()
    groups: Mapping[str, np.ndarray] = field(default_factory=dict)
    folds: np.ndarray | None = None

    @property
    def scored_counts(self) -> tuple[int, ...]:
        """The images per class that the objective scores: those of validation, or those of all folds."""
        return scored_counts(self.class_counts, self.preparation.folds)

    @property
    def fold_digest(self) -> str | None:
        """A digest of the folds; None without folds."""
        return None if self.folds is None else digest(self.folds)

    @property
    def training_sizes(self) -> list[int]:
        """The number of images that each network of a trial trains on."""
        if self.folds is None:
            return [len(self.train.labels)]
        return [len(self.folds) - held_out for held_out in np.bincount(self.folds).tolist()]

    @property
    def bytes_to_copy(self) -> int:
        """Size in bytes of the training and validation images that other processes on this machine cannot map."""
        copied = [split for split in (self.train, self.val) if not isinstance(split, MappedSplit)]
        return sum(split.images.nbytes for split in copied)

    def findings(self) -> list[str]:
        """Return lines on the files found, on the audit, and on a small validation split."""
        note = self.small_split_note()
        return [*self.notes, f"audit: {'; '.join(self.audit.sentences())}", *([note] if note else [])]

    def small_split_note(self) -> str:
        """Return a sentence on the standard error of the objective if it is large, else an empty string."""
        return small_split_note(self.scored_counts, self.preparation.folds)

    def check_folds(self, known: Mapping[str, Any]) -> None:
        """Check that the folds are those of a run; ``known`` is the entry on data of its ``provenance.json``.

        Raises:
            InputError: they differ.
        """
        if self.fold_digest != known.get("folds"):
            raise InputError(
                f"{self.source}: the folds differ from those of the run, as another version of scikit-learn may draw "
                "them; install the version in the run's provenance.json"
            )


def load_dataset(asked: str | None = None, preparation: Preparation | None = None, *, cluster: bool = False) -> Dataset:
    """Find, check and load a data set (one second for the 17,092 images of BloodMNIST at 28 pixels).

    ``asked`` is the path of an ``.npz`` file or of a folder of photographs, a MedMNIST name such as ``bloodmnist_64``,
    or ``synthetic``. If it is None, the environment variable ``BLOODTUNE_DATA`` applies, or else the official
    BloodMNIST file. If the official file is unavailable, the built-in synthetic data set is loaded, but not on a
    cluster.

    Raises:
        InputError: the name is unknown, the file is unavailable, or its content is not allowed.
    """
    preparation = preparation or Preparation()
    variable = os.environ.get(ENVIRONMENT)
    if asked is not None or not variable:
        source, fell_back = _find(asked, cluster)
        return _load(source, fell_back, preparation)
    try:
        return _load(*_find(variable, cluster), preparation)
    except InputError as error:
        raise InputError(f"{ENVIRONMENT}: {error}") from None


def load_test_split(dataset_source: str, md5: str, preparation: Preparation | None = None) -> Split:
    """Load the test split of a finished search. Only the analysis may call this.

    Raises:
        InputError: the file or folder at ``dataset_source`` is not the one with this MD5, or cannot be read.
    """
    path = _path(dataset_source)
    contents = _read_folder(path, preparation or Preparation()) if os.path.isdir(path) else None
    found = contents.md5 if contents else medmnist.file_md5(path)
    if found != md5:
        raise InputError(f"{path} has MD5 {found}, but the search ran on data with MD5 {md5}; restore that file")
    if contents:
        return contents.splits["test"]
    with open_archive(path) as archive:
        return map_splits(archive, ["test"], path, md5)["test"]


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
    if asked.endswith(".npz") or os.path.isfile(path) or os.sep in asked or asked in (os.curdir, os.pardir):
        return path, False
    if asked and os.path.isdir(path) and asked.lower().removesuffix("_28") not in medmnist.published_names():
        return path, False
    return str(medmnist.fetch(medmnist.check_name(asked))), False


def _path(source: str) -> Path:
    return load_standin() if source == SYNTHETIC else Path(source)


def _load(source: str, fell_back: bool, preparation: Preparation) -> Dataset:
    """Read, check and audit all three splits; keep only the counts of the test split."""
    path = _path(source)
    if os.path.isdir(path):
        contents = _read_folder(path, preparation)
    else:
        preparation.check_no_folder(source)
        contents = _read_npz(path)
    counts = _count(path, contents.splits)
    names = contents.class_names or _class_names(source, contents.splits, counts)
    if preparation.drop_copies:
        contents = contents.without_copies(folds=bool(preparation.folds))
        counts = _count(path, contents.splits)
    folds, notes = None, contents.notes
    if preparation.folds:
        images = contents.splits["train"].images.nbytes + contents.splits["val"].images.nbytes
        each = f"--folds {preparation.folds}, of which each worker holds all images once more"
        check_memory((preparation.folds + 1) * images, each, "allowed: fewer folds, or none")
        folds = fold_images(contents.splits, contents.groups, names, folds=preparation.folds, seed=preparation.seed)
        notes = (*notes, describe_folds(folds, grouped=bool(contents.groups)))
    return Dataset(
        title=SYNTHETIC if source == SYNTHETIC else path.name if contents.rows else path.stem,
        source=source,
        md5=contents.md5,
        synthetic=source == SYNTHETIC,
        fell_back=fell_back,
        class_names=names,
        train=contents.splits["train"],
        val=contents.splits["val"],
        split_sizes={name: sum(counts[name]) for name in SPLITS},
        class_counts=counts,
        audit=audit(contents.splits, contents.groups, contents.copies),
        preparation=preparation,
        notes=notes,
        rows=contents.rows,
        groups=contents.groups,
        folds=folds,
    )


def _count(path: Path, splits: Mapping[str, Split]) -> dict[str, tuple[int, ...]]:
    counts: dict[str, tuple[int, ...]] = {}
    for name in SPLITS:
        counts[name] = count_classes(splits[name], len(counts.get("train", ())), f"{path}: {name}_labels")
    return counts


def _class_names(source: str, splits: Mapping[str, Split], counts: Mapping[str, tuple[int, ...]]) -> tuple[str, ...]:
    if source == SYNTHETIC:
        return medmnist.class_names(medmnist.OFFICIAL)
    size, channels = splits["train"].images.shape[2:]
    sizes = {name: sum(counts[name]) for name in SPLITS}
    return medmnist.match_class_names(size, channels, len(counts["train"]), sizes)


def _read_folder(path: Path, preparation: Preparation) -> Contents:
    from bloodtune.data.folder import load_folder  # with scipy, which other data do not need

    return load_folder(path, preparation)


def _read_npz(path: Path) -> Contents:
    md5 = medmnist.file_md5(path)
    with open_archive(path) as archive:
        splits = map_splits(archive, SPLITS, path, md5)
        for name in SPLITS:
            check_shape(splits[name], splits["train"], f"{path}: {name}_images")
        groups = read_groups(archive, {name: len(splits[name].labels) for name in SPLITS}, path)
        class_names = read_class_names(archive, int(splits["train"].labels.max()) + 1, path)
    return Contents(md5, splits, find_copies(splits), class_names, groups)
