"""Data set of a folder: labelled photographs, listed, read, checked and divided into splits."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from bloodtune.data.audit import Copies, identify
from bloodtune.data.folder_listing import Listing, list_folder
from bloodtune.data.npz import SPLITS, Split
from bloodtune.data.partition import draw_splits, join_groups, read_splits
from bloodtune.data.preparation import MAX_SIZE, MIN_SIZE, Preparation
from bloodtune.data.raw_splits import Contents
from bloodtune.data.table import Row
from bloodtune.data.tiles import Tiles, read_tiles
from bloodtune.errors import InputError, plural, unknown_name

_TOLERATED = 0.01  # share of files that may be left out without --skip-unreadable


@dataclass(frozen=True, eq=False)
class Photographs:
    """The labelled photographs of a folder before they are divided into splits.

    Attributes:
        rows: file, class and perhaps split and group of each photograph.
        images: uint8 (N, S, S, 3).
        labels: indices of the classes in ``class_names``, int64 (N,).
        digests: of the files.
        class_names: in the order of their labels.
        layout: what gives the classes: a table or folders.
        notes: sentences for the user.
    """

    rows: tuple[Row, ...]
    images: np.ndarray
    labels: np.ndarray
    digests: tuple[str, ...]
    class_names: tuple[str, ...]
    layout: str
    notes: tuple[str, ...]


def read_photographs(root: Path, preparation: Preparation) -> Photographs:
    """List and read the labelled photographs of a folder, or of a table.

    Raises:
        InputError: the folder, its table or its photographs cannot be used.
    """
    listing = _without(root, list_folder(root), preparation.without)
    notes = [*listing.notes, *_left_out(root, listing, preparation)]
    if len(listing.class_names) < 2:
        one = listing.class_names[0] if listing.class_names else "none"
        raise InputError(f"{root} has one class, {one!r} ({listing.layout}); allowed: two or more")
    home = root if root.is_dir() else root.parent
    tiles = read_tiles(home, [row.file for row in listing.rows], size=preparation.side, crop=preparation.crop)
    kept = np.flatnonzero([not reason for reason in tiles.reasons])
    notes += [*_unreadable(root, listing, tiles, preparation), _sizes(tiles.sizes[kept])]
    rows = tuple(listing.rows[index] for index in kept)
    index = {name: number for number, name in enumerate(listing.class_names)}
    labels = np.array([index[row.label] for row in rows])
    digests = tuple(tiles.digests[at] for at in kept)
    return Photographs(rows, tiles.images[kept], labels, digests, listing.class_names, listing.layout, tuple(notes))


def load_folder(root: Path, preparation: Preparation) -> Contents:
    """Load the photographs of a folder as three splits.

    Splits that the folder does not give are drawn, or read from ``preparation.splits``.

    Raises:
        InputError: the folder, its table, its photographs or its splits cannot be used.
    """
    read = read_photographs(root, preparation)
    images, labels = read.images, read.labels
    copies = identify([images])
    rows, how = _divide(root, list(read.rows), copies[1], read.class_names, preparation)
    found = f"{plural(len(rows), 'photograph')} in {len(read.class_names)} classes, by {read.layout}; {how}"
    given, groups = np.array([row.split for row in rows]), np.array([row.group for row in rows])
    contents = Contents(
        md5=identity(rows, read.digests, preparation),
        splits={name: Split(np.ascontiguousarray(images[given == name]), labels[given == name]) for name in SPLITS},
        copies=Copies(*({name: numbers[given == name] for name in SPLITS} for numbers in copies)),
        class_names=read.class_names,
        groups={name: groups[given == name] for name in SPLITS} if groups.any() else {},
        rows=tuple(rows),
        notes=(found, *read.notes),
    )
    contents.check_classes(str(root))
    return contents


def _without(root: Path, listing: Listing, names: Sequence[str]) -> Listing:
    for name in names:
        if name not in listing.class_names:
            raise InputError(f"--without: {unknown_name('class', name, listing.class_names)} ({root})")
    kept = tuple(row for row in listing.rows if row.label not in names)
    if not names:
        return listing
    note = f"--without {', '.join(names)}: {plural(len(listing.rows) - len(kept), 'photograph')} left out"
    class_names = tuple(name for name in listing.class_names if name not in names)
    return replace(listing, class_names=class_names, rows=kept, notes=(*listing.notes, note))


def _left_out(root: Path, listing: Listing, preparation: Preparation) -> list[str]:
    """Return sentences on missing and unlabelled files; refuse too many of them."""
    named = len(listing.rows) + len(listing.missing)
    there = len(listing.rows) + len(listing.unlabelled)
    home = "class folder" if listing.layout.startswith("folders") else f"row in {listing.layout}"
    return [
        *_count(root, listing.missing, named, f"rows of {listing.layout} without a file", preparation),
        *_count(root, listing.unlabelled, there, f"photographs without a {home}", preparation),
    ]


def _unreadable(root: Path, listing: Listing, tiles: Tiles, preparation: Preparation) -> list[str]:
    named = [f"{row.file} ({why})" for row, why in zip(listing.rows, tiles.reasons, strict=True) if why]
    crop = _fitting_crop(tiles, preparation.crop)
    if len(named) == len(listing.rows):
        fits = f"; use {crop}" if crop else ""
        raise InputError(f"{root}: no photograph of {len(named):,} can be used, such as {_text(named[0])}{fits}")
    return _count(root, named, len(listing.rows), "photographs that cannot be used", preparation, crop)


def _fitting_crop(tiles: Tiles, crop: int | None) -> str:
    """Return the largest crop that fits every photograph as a clause, if some were refused for their size."""
    sides = tiles.sizes.min(axis=1)  # 0 if unknown
    smallest = int(sides[sides > 0].min(initial=crop or MAX_SIZE))
    refused = all(tiles.reasons) and sides.any() if crop is None else smallest < crop
    return f"--crop {smallest} (fits all of them)" if refused and smallest >= MIN_SIZE else ""


def _sizes(sizes: np.ndarray) -> str:
    found, counts = np.unique(sizes, axis=0, return_counts=True)
    most, small, large = (" x ".join(map(str, size)) for size in (found[counts.argmax()], sizes.min(0), sizes.max(0)))
    return f"photographs of {most} pixels" + (f" (most), from {small} to {large}" if len(found) > 1 else "")


def _count(
    root: Path, named: Sequence[str], total: int, what: str, preparation: Preparation, way_out: str = ""
) -> list[str]:
    if not named:
        return []
    rest = f" and {len(named) - 3:,} more" if len(named) > 3 else ""
    text = f"{what}: {len(named):,} of {total:,}, {', '.join(map(_text, named[:3]))}{rest}"
    if len(named) > _TOLERATED * total and not preparation.skip_unreadable:
        ways = f"{way_out}, or --skip-unreadable" if way_out else "or --skip-unreadable"
        raise InputError(f"{root}: {text}; allowed: up to 1 %, {ways} to leave them out")
    return [f"left out, {text}"]


def _text(name: str) -> str:
    return os.fsencode(name).decode(errors="backslashreplace")  # a file name may be invalid UTF-8


def _divide(
    root: Path, rows: list[Row], copies: np.ndarray, names: Sequence[str], preparation: Preparation
) -> tuple[list[Row], str]:
    """Return the rows with a split each, and how they got it; ``copies`` (N,) has one number for all copies."""
    given = {row.split for row in rows} - {""}
    if given and "train" not in given:
        raise InputError(f"{root} has the splits {', '.join(sorted(given))}; allowed: train too, or no splits at all")
    drawn = [name for name in SPLITS[1:] if name not in given]
    what = f"{' and '.join(drawn)} drawn from train" if given else "splits drawn 7:1:2"
    apart = "no group and no copies in two" if any(row.group for row in rows) else "no copies in two"
    how = f"{what} with seed {preparation.seed}, {apart}" if drawn else "splits as given"
    if preparation.splits is not None:
        return _recorded(root, rows, Path(preparation.splits)), how
    return _drawn(root, rows, copies, names, drawn, preparation.seed) if drawn else rows, how


def _drawn(
    root: Path, rows: list[Row], copies: np.ndarray, names: Sequence[str], drawn: Sequence[str], seed: int
) -> list[Row]:
    at = [index for index, row in enumerate(rows) if row.split in ("", "train")]
    index = {name: number for number, name in enumerate(names)}
    labels = np.array([index[rows[place].label] for place in at])
    _, first, inverse = np.unique(copies[at], return_index=True, return_inverse=True)
    groups = join_groups([rows[place].group for place in at], first[inverse])
    splits = draw_splits(labels, groups, names, drawn=drawn, seed=seed, where=str(root))
    divided = list(rows)
    for place, split in zip(at, splits.tolist(), strict=True):
        divided[place] = replace(rows[place], split=split)
    return divided


def _recorded(root: Path, rows: Sequence[Row], file: Path) -> list[Row]:
    splits = read_splits(file)
    new = [row.file for row in rows if row.file not in splits]
    gone = sorted(set(splits) - {row.file for row in rows})
    if new or gone:
        first = _text((new or gone)[0])
        raise InputError(
            f"{root} and {file} differ: {plural(len(new), 'photograph')} in the folder alone, {len(gone):,} in the "
            f"file alone, such as {first}; restore the one that has changed"
        )
    return [replace(row, split=splits[row.file]) for row in rows]


def identity(rows: Sequence[Row], digests: Sequence[str], preparation: Preparation) -> str:
    """Return an MD5 of everything that decides about the images and their splits, but not of the folder's place."""
    content = [(row.file, row.label, row.split, row.group, digest) for row, digest in zip(rows, digests, strict=True)]
    text = json.dumps([preparation.side, preparation.crop, sorted(content)])
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()
