"""Files written whole or not at all, and places checked before they are written."""

from __future__ import annotations

import itertools
import os
import shutil
from pathlib import Path

from bloodtune.errors import InputError


def check_writable(place: Path) -> None:
    """Check, without a trace, that a folder can be written, or made, at ``place``.

    Raises:
        InputError: ``place``, or the nearest folder above it that exists, is no folder or not writable.
    """
    folder = next(path for path in (place, *place.absolute().parents) if os.path.exists(path))
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        raise InputError(f"{place} cannot be written: {folder} is not a folder that can be")


def replace(file: Path, content: bytes) -> None:
    """Replace a file in one step: it is never there in part, whatever ends the process or the machine."""
    temporary = file.with_name(f".{file.name}")
    try:
        with temporary.open("wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(file)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise


def append(file: Path, text: str) -> None:
    """Add text to a file; it is on disk when this returns."""
    with file.open("a", encoding="utf-8", errors="backslashreplace") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())


def put_aside(file: Path) -> Path:
    """Copy a file to the first free one of ``<name>.damaged``, ``<name>.damaged-2`` and so on; return that."""
    names = itertools.chain([""], (f"-{number}" for number in itertools.count(2)))
    aside = next(place for end in names if not (place := file.with_name(f"{file.name}.damaged{end}")).exists())
    shutil.copyfile(file, aside)
    return aside
