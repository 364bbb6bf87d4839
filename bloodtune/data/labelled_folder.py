"""Labelled photographs to adapt a model to: all of a folder or table but its test split, with folds drawn anew."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bloodtune.data.audit import audit, find_copies, identify
from bloodtune.data.dataset import Dataset
from bloodtune.data.folder import Photographs, identity, read_photographs
from bloodtune.data.npz import SPLITS, Split
from bloodtune.data.partition import draw_folds, join_groups
from bloodtune.data.preparation import Preparation
from bloodtune.errors import InputError, plural

MOST_FOLDS = 5


@dataclass(frozen=True, eq=False)
class LabelledFolder:
    """The photographs of a folder: ``dataset.train`` has all of them but its ``test`` split; ``dataset.val`` is empty.

    ``groups`` (N,) has one number for images of one group and for copies of each other.
    """

    dataset: Dataset
    test: Split | None
    groups: np.ndarray

    def folds(self, seed: int) -> np.ndarray:
        """Draw folds as ``draw_folds``, here with every class in two of them at least; integers (N,)."""
        data, drawn = self.dataset, self.dataset.preparation.folds
        assert drawn is not None
        return draw_folds(
            data.train.labels, self.groups, data.class_names, folds=drawn, seed=seed, where=data.source, least=2
        )


def read_labelled_folder(root: Path, preparation: Preparation) -> LabelledFolder:
    """Read a folder or a table; ``preparation.folds`` becomes 5, or fewer if there are not so many groups of images.

    Raises:
        InputError: the source or its photographs cannot be used, or a class has fewer than two groups of images.
    """
    read = read_photographs(root, preparation)
    tested = np.array([row.split == "test" for row in read.rows])
    parts = {"train": ~tested, "val": np.zeros_like(tested), "test": tested}
    splits = {name: Split(np.ascontiguousarray(read.images[kept]), read.labels[kept]) for name, kept in parts.items()}
    train, test = splits["train"], splits["test"]
    if not len(train.labels):
        raise InputError(f"{root} has only a test split; allowed: labelled photographs to learn from")
    named = np.array([row.group for row in read.rows])
    groups = join_groups(named[~tested].tolist(), identify([train.images])[1])
    folds = min(MOST_FOLDS, int(np.bincount(train.labels).max()), len(np.unique(groups)))
    preparation = dataclasses.replace(preparation, folds=folds)
    by_split = {name: named[kept] for name, kept in parts.items()} if named.any() else {}
    counts = {name: np.bincount(split.labels, minlength=len(read.class_names)) for name, split in splits.items()}
    dataset = Dataset(
        title=root.name if root.is_dir() else root.parent.name,
        source=str(root),
        md5=identity(read.rows, read.digests, preparation),
        synthetic=False,
        fell_back=False,
        class_names=read.class_names,
        train=train,
        val=splits["val"],
        split_sizes={name: int(counts[name].sum()) for name in SPLITS},
        class_counts={name: tuple(counts[name].tolist()) for name in SPLITS},
        audit=audit(splits, by_split, find_copies(splits)),
        preparation=preparation,
        notes=(_found(read, len(test.labels)), *read.notes),
        rows=read.rows,
        groups=by_split,
    )
    labelled = LabelledFolder(dataset, test if len(test.labels) else None, groups)
    labelled.folds(seed=0)  # refuses classes with too few images at once
    return labelled


def _found(read: Photographs, tested: int) -> str:
    labelled = plural(len(read.labels) - tested, "labelled photograph")
    test = f"; {plural(tested, 'photograph')} of its test split to score the result" if tested else ""
    return f"{labelled} in {len(read.class_names)} classes, by {read.layout}{test}"
