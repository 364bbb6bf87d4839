"""Table of photographs, ``metadata.csv`` or ``labels.csv``: file, label, and perhaps split and group per row."""

from __future__ import annotations

import csv
import os
import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bloodtune.errors import InputError, one_line

TABLES = ("metadata.csv", "labels.csv")
# Names of columns, the preferred one first.
_COLUMNS = {
    "file": ("file_name", "file", "image", "path"),
    "label": ("label", "class"),
    "split": ("split",),
    "group": ("group", "patient", "patient_id", "subject", "slide"),
}
_SPLIT_NAMES = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation", "dev"),
    "test": ("test", "testing", "eval", "evaluation"),
}
_SPLITS = {name: split for split, names in _SPLIT_NAMES.items() for name in names}
_HOPELESS = 100_000  # rows: if none of so many has a file, the paths are wrong
_NUMBER = re.compile(r"[+-]?\d+(\.\d+)?")


@dataclass(frozen=True)
class Row:
    """A photograph: its path below the folder, its class, its split (train, val, test) and group, or empty strings."""

    file: str
    label: str
    split: str = ""
    group: str = ""


@dataclass(frozen=True)
class Table:
    """A table as it was read: class names in order, the rows of existing files, names of missing files, notes."""

    class_names: tuple[str, ...]
    rows: tuple[Row, ...]
    missing: tuple[str, ...]
    notes: tuple[str, ...]


def split_of(name: str) -> str:
    """Return train, val or test for the usual names of splits, else an empty string."""
    return _SPLITS.get(name.strip().lower(), "")


def read_table(table: Path, files: Sequence[str]) -> Table:
    """Read a table; its paths are relative to its folder. ``files`` are the photographs below that folder.

    Raises:
        InputError: the table cannot be read, lacks a column, contradicts itself, or names no existing file.
    """
    known, found, missing = set(files), dict[str, Row](), list[str]()
    lines, words, repeated = dict[str, int](), dict[str, str](), 0  # label: its first line, its word
    for line, row, word in _read_rows(table):
        lines.setdefault(row.label, line)
        if words.setdefault(row.label, word) != word:
            both = f"{words[row.label]!r} in one row and {word!r} in line {line}"
            raise InputError(f"{table}: label {row.label!r} has class {both}; allowed: one class per label")
        file = _existing(row.file, table.parent, known)
        if not file:
            missing.append(row.file)
            if len(missing) == _HOPELESS and not found:
                break
            continue
        row = replace(row, file=file)
        other = found.setdefault(file, row)
        repeated += other is not row
        if other != row:
            raise InputError(f"{table}: line {line} contradicts an earlier row of {file}; allowed: one row per file")
    if not found:
        first = f"none of its first {len(missing):,} files exists, such as {missing[0]!r}" if missing else "no row"
        raise InputError(f"{table}: {first}; allowed: paths relative to {table.parent}")
    _check_kind(table, lines)
    names, renamed = _name_classes(lines, words)
    rows = tuple(replace(row, label=renamed[row.label]) for _, row in sorted(found.items()))
    kept, notes = _with_splits(table, rows)
    if repeated:
        notes.append(f"rows that repeat a file: {repeated:,}")
    present = {row.label for row in kept}
    return Table(tuple(name for name in names if name in present), kept, tuple(missing), tuple(notes))


def _read_rows(table: Path) -> Iterator[tuple[int, Row, str]]:
    """Yield line number, row and, if there are columns ``label`` and ``class``, the content of ``class``."""
    try:
        with table.open(encoding="utf-8-sig", newline="") as stream:
            head = stream.readline()
            delimiter = max(",;\t", key=head.count)  # Excel writes semicolons in many countries
            reader = csv.reader(stream, delimiter=delimiter)
            columns = _find_columns(table, next(csv.reader([head], delimiter=delimiter), []))
            word = columns.pop("word", None)
            for cells in reader:
                if not cells:
                    continue
                values = {name: cells[at].strip() if at < len(cells) else "" for name, at in columns.items()}
                for name in ("file", "label"):
                    if not values[name]:
                        raise InputError(f"{table}: line {reader.line_num + 1} has no {name}; allowed: one in each row")
                text = cells[word].strip() if word is not None and word < len(cells) else ""
                yield reader.line_num + 1, Row(**values), text
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{table} cannot be read: {one_line(error)}; allowed: CSV in UTF-8") from None


def _find_columns(table: Path, header: Sequence[str]) -> dict[str, int]:
    names = [name.strip().lower() for name in header]
    found = {}
    for column, allowed in _COLUMNS.items():
        name = next((name for name in allowed if name in names), None)
        if name is not None:
            found[column] = names.index(name)
        elif column in ("file", "label"):
            given = one_line(", ".join(header[:12]) or "none")
            raise InputError(f"{table} has the columns {given}; needed: one of {', '.join(allowed)}")
    if names[found["label"]] == "label" and "class" in names:
        found["word"] = names.index("class")
    return found


def _existing(file: str, folder: Path, known: set[str]) -> str:
    """Return the path of a photograph as it is below ``folder``, or an empty string if there is no such file."""
    if file in known:
        return file
    plain = posixpath.normpath(file.replace("\\", "/"))
    if plain in known or ("\0" not in plain and os.path.isfile(folder / plain)):
        return plain
    return ""


def _check_kind(table: Path, lines: Mapping[str, int]) -> None:
    numbers = [label for label in lines if _NUMBER.fullmatch(label)]
    words = [label for label in lines if not _NUMBER.fullmatch(label)]
    if numbers and words:
        given = " and ".join(f"{label!r} in line {lines[label]}" for label in (numbers[0], words[0]))
        raise InputError(f"{table} has the labels {given}; allowed: only numbers or only words")


def _name_classes(labels: Mapping[str, int], words: Mapping[str, str]) -> tuple[list[str], dict[str, str]]:
    """Return the class names in order, and the class name of each label: its word if labels are numbers with words."""
    is_number = all(_NUMBER.fullmatch(label) for label in labels)
    order = sorted(labels, key=float) if is_number else sorted(labels)
    named = is_number and all(words.values()) and len(set(words.values())) == len(words)
    renamed = {label: words[label] if named else label for label in order}
    return list(renamed.values()), renamed


def _with_splits(table: Path, rows: Sequence[Row]) -> tuple[tuple[Row, ...], list[str]]:
    """Return the rows with their splits as train, val and test; without splits if all rows have the same one."""
    given = sorted({row.split for row in rows})
    if given == [""]:
        return tuple(rows), []
    for name in given:
        if not split_of(name):
            file = next(row.file for row in rows if row.split == name)
            allowed = ", ".join(_SPLITS)
            raise InputError(f"{table}: {file} has split {name!r}; allowed: {allowed}, or an empty column")
    splits = {split_of(name) for name in given}
    if len(splits) == 1:
        return tuple(replace(row, split="") for row in rows), [f"every row has split {given[0]}, so it is not used"]
    return tuple(replace(row, split=split_of(row.split)) for row in rows), []
