"""Partition of a data set into splits or folds, stratified, with no group in two of them."""

from __future__ import annotations

import csv
import io
import itertools
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from bloodtune.data.npz import SPLITS
from bloodtune.data.table import Row
from bloodtune.errors import InputError, one_line, plural
from bloodtune.files import replace

_FOLDS = {"train": 7, "val": 1, "test": 2}
_ATTEMPTS = 20  # draws, each with up to 360 ways to give folds to splits
_HEADER = ("file", "class", "split", "group")


def draw_splits(
    labels: np.ndarray, groups: np.ndarray, names: Sequence[str], *, drawn: Sequence[str], seed: int, where: str
) -> np.ndarray:
    """Draw the split of each image: train, and the splits ``drawn`` (val, test or both), in the ratio 7:1:2.

    The images are cut into stratified folds, ten for a draw of both. Val and test get those folds that keep the class
    shares best. No group is in two splits, and every class is in every split.

    Args:
        labels: class of each image, integers (N,).
        groups: group of each image, integers (N,).
        names: class names.
        drawn: splits to fill from the images.
        seed: seed of the draw.
        where: folder, for messages.

    Returns:
        Names of splits (N,).

    Raises:
        InputError: a class has too few groups, or no draw has every class in every split.
    """
    _check_groups(labels, groups, names, len(drawn) + 1, where, "split")
    splits = ("train", *(name for name in SPLITS if name in drawn))
    wanted = np.array([_FOLDS[name] for name in splits]) / sum(_FOLDS[name] for name in splits)
    for attempt in np.random.default_rng(seed).integers(2**31, size=_ATTEMPTS):
        folds = _cut(labels, groups, sum(_FOLDS[name] for name in splits), int(attempt))
        counts = count_by_fold(labels, folds, len(names))
        best = min(_ways(len(counts), wanted), key=lambda way: _distance(counts, way, wanted))
        if np.isfinite(_distance(counts, best, wanted)):
            return np.asarray(np.array(splits)[best[folds]])
    raise InputError(
        f"{where}: no draw of {', '.join(splits)} has every class in every split and no group in two; allowed: more "
        "groups per class, or a table with a column split"
    )


def draw_folds(
    labels: np.ndarray,
    groups: np.ndarray,
    names: Sequence[str],
    *,
    folds: int,
    seed: int,
    where: str,
    least: int | None = None,
) -> np.ndarray:
    """Draw the fold of each image, 0 to ``folds`` - 1: stratified, no group in two folds, every class in every fold.

    ``least`` is the number of folds that each class must be in, if not all; with 2, images of every class remain
    whichever fold is held out. The other arguments are those of ``draw_splits``.

    Returns:
        Numbers of folds, integers (N,).

    Raises:
        InputError: a class has fewer groups than folds that it must be in, or no draw has every class in so many folds.
    """
    least = folds if least is None else least
    _check_groups(labels, groups, names, least, where, "fold")
    for attempt in np.random.default_rng(seed).integers(2**31, size=_ATTEMPTS):
        found = _cut(labels, groups, folds, int(attempt))
        held = (count_by_fold(labels, found, len(names)) > 0).sum(0)
        if found.max() + 1 == folds and held.min() >= least:
            return found
    wanted = "every fold" if least == folds else f"{least} folds"
    raise InputError(
        f"{where}: no draw has every class in {wanted} and no group in two; allowed: fewer folds, or more groups per "
        "class"
    )


def join_groups(groups: Sequence[str], copies: np.ndarray) -> np.ndarray:
    """Number the images (N,) so that those of one group, and those that are copies of each other, share a number.

    ``copies`` has the same number for copies. An image whose group is an empty string has only its copies beside it.
    """
    from scipy.sparse import coo_array  # not needed by data that come with splits
    from scipy.sparse.csgraph import connected_components

    n = len(groups)
    first = dict[str, int]()
    same_group = np.array([first.setdefault(group, at) if group else at for at, group in enumerate(groups)])
    edges = coo_array((np.ones(2 * n), (np.tile(np.arange(n), 2), np.concatenate([same_group, copies]))), (n, n))
    return np.asarray(connected_components(edges, directed=False)[1])


def count_by_fold(labels: np.ndarray, folds: np.ndarray, classes: int) -> np.ndarray:
    """Count the images per fold and class, integers (folds, classes)."""
    counts = np.zeros((folds.max() + 1, classes), np.int64)
    np.add.at(counts, (folds, labels), 1)
    return counts


def _check_groups(
    labels: np.ndarray, groups: np.ndarray, names: Sequence[str], needed: int, where: str, part: str
) -> None:
    for index, name in enumerate(names):
        images, found = int((labels == index).sum()), len(np.unique(groups[labels == index]))
        if found < needed:
            has = plural(images, "image")
            if found < images:
                has += f" in {plural(found, 'group')} (copies count as a group)"
            one = "image" if found == images else "group"
            fewer = "use fewer folds" if part == "fold" and found > 1 else f"--without {name!r} leaves the class out"
            raise InputError(
                f"{where}: class {name!r} has {has}; allowed: at least {needed}, one {one} per {part}; {fewer}"
            )


def _cut(labels: np.ndarray, groups: np.ndarray, folds: int, seed: int) -> np.ndarray:
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold  # a second to import

    _, first, inverse = np.unique(groups, return_index=True, return_inverse=True)
    # If nearly every image is a group of its own, one image per group is drawn for all of it: six times as fast.
    alone = len(first) > 0.9 * len(labels)
    labels, groups = (labels[first], groups[first]) if alone else (labels, groups)
    folds = min(folds, int(np.bincount(labels).max()))
    kind = StratifiedKFold if alone else StratifiedGroupKFold
    found = np.zeros(len(labels), np.int64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a class has fewer images than there are folds
        cuts = kind(folds, shuffle=True, random_state=seed).split(labels, labels, groups)
        for fold, (_, held_out) in enumerate(cuts):
            found[held_out] = fold
    return found[inverse] if alone else found


def _ways(folds: int, wanted: np.ndarray) -> Iterator[np.ndarray]:
    """Yield the ways to give folds to splits: the index of a split for each fold."""
    sizes = [max(1, round(share * folds)) for share in wanted[1:]]
    for first in itertools.combinations(range(folds), sizes[0]):
        rest = [fold for fold in range(folds) if fold not in first]
        for second in itertools.combinations(rest, sizes[1]) if len(sizes) > 1 else [()]:
            way = np.zeros(folds, np.int64)
            way[list(first)] = 1
            way[list(second)] = 2
            yield way


def _distance(counts: np.ndarray, way: np.ndarray, wanted: np.ndarray) -> float:
    """Return how far the class shares are from the wanted ones, summed over classes; inf if a split lacks a class."""
    found = np.stack([counts[way == split].sum(0) for split in range(len(wanted))])
    if not found.all():
        return float("inf")
    return float(np.abs(found / found.sum(0) - wanted[:, None]).sum())


def write_splits(file: Path, rows: Sequence[Row]) -> None:
    """Write the split of every photograph to ``splits.csv``."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_HEADER)
    writer.writerows((row.file, row.label, row.split, row.group) for row in rows)
    replace(file, text.getvalue().encode("utf-8", errors="surrogateescape"))


def read_splits(file: Path) -> dict[str, str]:
    """Return the split of every photograph in a ``splits.csv``.

    Raises:
        InputError: the file cannot be read or has other columns or splits.
    """
    try:
        with file.open(encoding="utf-8", errors="surrogateescape", newline="") as stream:
            header, *rows = csv.reader(stream)
    except (OSError, csv.Error, ValueError) as error:
        raise InputError(f"{file} cannot be read: {one_line(error)}; restore it") from None
    if tuple(header) != _HEADER or any(len(row) != len(_HEADER) or row[2] not in SPLITS for row in rows):
        raise InputError(f"{file} is damaged; allowed: the columns {', '.join(_HEADER)}; restore it")
    return {row[0]: row[2] for row in rows}
