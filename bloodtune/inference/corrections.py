"""Corrections of a person, kept as a labelled folder: inputs of the network as PNG files, and a table of classes."""

from __future__ import annotations

import csv
import io
import threading
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from bloodtune.data.photographs import digest_of
from bloodtune.errors import InputError, plural
from bloodtune.files import check_new_or_ours, check_writable, replace
from bloodtune.inference.field_pictures import as_png

TABLE = "metadata.csv"
LEAST, LEAST_OF_A_CLASS = 10, 2  # pictures that ``adapt`` can learn from
_COLUMNS = ["file_name", "label"]


def file_of(digest: str) -> str:
    """Return the name of the file of a picture, from the digest of its pixels."""
    return f"{digest}.png"


class Corrections:
    """A labelled folder that grows by one picture per correction; ``adapt`` and ``evaluate`` take it.

    A picture is named by the digest of its pixels, so that it is stored once, and no name of a stranger is a path.

    Raises:
        InputError: ``folder`` cannot be written, or holds something else than corrections.
    """

    def __init__(self, folder: Path) -> None:
        check_writable(folder)
        self.folder, self._lock = folder, threading.Lock()
        check_new_or_ours(folder, TABLE)
        self.labels()

    def labels(self) -> dict[str, str]:
        """Return the class of each picture by its file name.

        Raises:
            InputError: the table cannot be read, or has other columns.
        """
        table = self.folder / TABLE
        if not table.exists():
            return {}
        try:
            with table.open(encoding="utf-8-sig", newline="") as stream:
                header, *rows = list(csv.reader(stream)) or [[]]
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise InputError(f"{table} cannot be read: {error}; allowed: CSV in UTF-8") from None
        if header != _COLUMNS or not all(len(row) == len(_COLUMNS) for row in rows if row):
            raise InputError(f"{table} is no table of corrections; allowed: the columns {' and '.join(_COLUMNS)} alone")
        return {row[0]: row[1] for row in rows if row}

    def add(self, content: bytes, label: str, shape: tuple[int, int]) -> int:
        """Store a picture with its class, or change the class of a stored one; return the number of pictures.

        Args:
            content: a PNG file, grey or in colour.
            label: the class.
            shape: width and height that the picture must have.

        Raises:
            InputError: ``content`` is no such file.
        """
        pixels = _read(content, shape)
        name = file_of(digest_of(pixels))
        with self._lock:
            labels = self.labels()
            self.folder.mkdir(parents=True, exist_ok=True)
            if not (self.folder / name).exists():
                replace(self.folder / name, as_png(Image.fromarray(pixels)))
            if labels.get(name) != label:
                labels[name] = label
                self.write(TABLE, labels)
        return len(labels)

    def write(self, table: str, labels: Mapping[str, str]) -> Path:
        """Write classes by file name to a table in the folder; return its path."""
        stream = io.StringIO()
        csv.writer(stream, lineterminator="\n").writerows([_COLUMNS, *labels.items()])
        replace(self.folder / table, stream.getvalue().encode())
        return self.folder / table


def enough(labels: Mapping[str, str]) -> dict[str, str]:
    """Return the pictures of the classes that have enough of them to learn from."""
    counts = Counter(labels.values())
    return {name: label for name, label in labels.items() if counts[label] >= LEAST_OF_A_CLASS}


def lacking(labels: Mapping[str, str]) -> str:
    """Return the reason why the corrections are too few to learn from, or an empty string."""
    learned = enough(labels)
    if len(learned) >= LEAST and len(set(learned.values())) > 1:
        return ""
    usable = f", {len(learned):,} of them of classes with {LEAST_OF_A_CLASS} or more" if learned != labels else ""
    return f"{plural(len(labels), 'picture')} stored{usable}; learning needs {LEAST} of those, in two or more classes"


def _read(content: bytes, shape: tuple[int, int]) -> np.ndarray:
    try:
        with Image.open(io.BytesIO(content), formats=["PNG"]) as picture:
            if picture.size != shape or picture.mode not in ("L", "RGB"):
                raise InputError(f"a picture of {picture.size}, {picture.mode}; allowed: {shape}, grey or in colour")
            return np.asarray(picture)
    except (OSError, ValueError, SyntaxError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError("no PNG picture") from None
