"""Folds of a data set: its training and validation images in K parts, each held out from one of K networks."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

import numpy as np

from bloodtune.data.audit import identify
from bloodtune.data.npz import Split
from bloodtune.data.partition import draw_folds, join_groups


def fold_images(
    splits: Mapping[str, Split], groups: Mapping[str, np.ndarray], names: Sequence[str], *, folds: int, seed: int
) -> np.ndarray:
    """Draw the folds of the training and validation images; neither a group nor copies are in two folds.

    ``groups`` has the names of the images' groups for each split, (N,), or is empty.

    Returns:
        Numbers of folds, 0 to ``folds`` - 1, of the training images, then of the validation images: integers (N,).

    Raises:
        InputError: a class has fewer groups than folds, or no draw has every class in every fold.
    """
    used = splits["train"], splits["val"]
    labels = np.concatenate([split.labels for split in used])
    named = [*groups["train"].tolist(), *groups["val"].tolist()] if groups else [""] * len(labels)
    joined = join_groups(named, identify([split.images for split in used])[1])
    where = f"--folds {folds}, training and validation"
    return draw_folds(labels, joined, names, folds=folds, seed=seed, where=where)


def join_splits(train: Split, val: Split) -> Split:
    """Return the images of both splits as one, the training images first."""
    return Split(np.concatenate([train.images, val.images]), np.concatenate([train.labels, val.labels]))


def cut_splits(train: Split, val: Split, folds: np.ndarray | None) -> list[tuple[Split, Split]]:
    """Return training and held-out images of each network; without folds the two splits themselves.

    ``folds`` are the numbers of ``fold_images``.
    """
    if folds is None:
        return [(train, val)]
    whole = join_splits(train, val)
    held_out = [folds == number for number in range(folds.max() + 1)]
    return [(_take(whole, ~rows), _take(whole, rows)) for rows in held_out]


def held_out_split(train: Split, val: Split, folds: np.ndarray | None) -> Split:
    """Return all held-out images, fold by fold; without folds the validation split."""
    if folds is None:
        return val
    return _take(join_splits(train, val), np.argsort(folds, kind="stable"))


def scored_counts(class_counts: Mapping[str, Sequence[int]], folds: int | None) -> tuple[int, ...]:
    """Return the images per class that the objective scores: of validation, with folds of training and validation."""
    if folds is None:
        return tuple(class_counts["val"])
    return tuple(sum(pair) for pair in zip(class_counts["train"], class_counts["val"], strict=True))


def describe_folds(folds: np.ndarray, *, grouped: bool) -> str:
    """Return a sentence on the folds and the objective, for the user."""
    sizes, apart = np.bincount(folds), "no group and no copies" if grouped else "no copies"
    each = f"{sizes.min():,}{f' to {sizes.max():,}' if sizes.max() > sizes.min() else ''}"
    return (
        f"--folds {len(sizes)}: the objective is the macro-F1 of the held-out predictions of {len(folds):,} training "
        f"and validation images, {each} per fold; {apart} in two folds"
    )


def digest(folds: np.ndarray) -> str:
    """Return a digest of the numbers of all images' folds."""
    return hashlib.blake2b(folds.astype(np.int64).tobytes(), digest_size=16).hexdigest()


def _take(split: Split, rows: np.ndarray) -> Split:
    return Split(np.ascontiguousarray(split.images[rows]), split.labels[rows])
