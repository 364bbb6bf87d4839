"""Listing of a labelled folder: every photograph with its class, split and group, from a table or from folder names."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bloodtune.data.photographs import Found, describe_left_out, find_photographs
from bloodtune.data.table import TABLES, Row, read_table, split_of
from bloodtune.errors import InputError


@dataclass(frozen=True)
class Listing:
    """The photographs of a folder, sorted by file name.

    ``layout`` names what was found. ``class_names`` are in the order of their labels: words by alphabet, numbers by
    value. ``missing`` are files that the table names and the folder lacks; ``unlabelled`` are photographs without a
    row or without a class folder. ``notes`` are sentences for the user.
    """

    layout: str
    class_names: tuple[str, ...]
    rows: tuple[Row, ...]
    missing: tuple[str, ...] = ()
    unlabelled: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def list_folder(root: Path) -> Listing:
    """List the labelled photographs of a folder, or those of a table that is given itself.

    The layouts are tried in this order: a table (``metadata.csv`` or ``labels.csv``), ``SPLIT/CLASS/**``, ``CLASS/**``.

    Raises:
        InputError: the folder has no photograph, its table cannot be used, or folders of splits and classes are mixed.
    """
    if root.suffix.lower() == ".csv" and os.path.isfile(root):
        return _from_table(root)
    table = next((root / name for name in TABLES if os.path.isfile(root / name)), None)
    if table is not None:
        return _from_table(table)
    found = find_photographs([root])
    listing = _from_subfolders(root, _relative(found, root))
    return replace(listing, notes=_left_out(found.left_out))


def _from_subfolders(root: Path, files: Sequence[str]) -> Listing:
    folders = sorted({file.split("/")[0] for file in files if "/" in file})
    splits = {name: split for name in folders if (split := split_of(name))}
    if len(splits) == len(folders) and folders:
        return _from_folders(root, files, "folders of splits and classes", splits)
    if "train" in splits.values():
        strange = next(name for name in folders if name not in splits)
        raise InputError(
            f"{root} has a folder {strange!r} beside those of splits ({', '.join(splits)}); allowed: folders of splits "
            "(train, val, test) alone, or folders of classes alone"
        )
    return _from_folders(root, files, "folders of classes", {})


def _relative(found: Found, root: Path) -> list[str]:
    return [file.relative_to(root).as_posix() for file in found.files]


def _left_out(files: Counter[str]) -> tuple[str, ...]:
    return (describe_left_out(files),) if files.total() else ()


def _from_table(table: Path) -> Listing:
    try:
        below = find_photographs([table.parent])
    except InputError:  # a table may name photographs outside its folder, which then needs none
        below = Found([], Counter())
    files = _relative(below, table.parent)
    found = read_table(table, files)
    known = {row.file for row in found.rows}
    unlabelled = tuple(file for file in files if file not in known)
    others = below.left_out - Counter([table.suffix.lower()])
    notes = (*found.notes, *_left_out(others))
    return Listing(table.name, found.class_names, found.rows, found.missing, unlabelled, notes)


def _from_folders(root: Path, files: Sequence[str], layout: str, splits: dict[str, str]) -> Listing:
    rows, unlabelled = [], []
    for file in files:
        parts = file.split("/")
        depth = 1 if splits else 0  # of the class folder
        if len(parts) < depth + 2:
            unlabelled.append(file)
        else:
            rows.append(Row(file, parts[depth], splits.get(parts[0], "")))
    if not rows:
        where = "below a class folder" if splits else "in a class folder"
        raise InputError(
            f"{root}: no photograph is {where} and there is no {' or '.join(TABLES)}; allowed: CLASS/photograph, "
            "SPLIT/CLASS/photograph, or a table"
        )
    names = tuple(sorted({row.label for row in rows}))
    return Listing(layout, names, tuple(rows), unlabelled=tuple(unlabelled))
