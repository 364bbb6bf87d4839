"""Durable file writes: atomic replacement, durable append, check for write access, backup copies."""

from __future__ import annotations

import itertools
import os
import shutil
from pathlib import Path

from bloodtune.errors import InputError


def check_writable(place: Path) -> None:
    """Check that ``place`` is a writable folder or can be created as one. Nothing is written.

    Raises:
        InputError: ``place`` (if it does not exist: its nearest existing parent) is not a writable folder.
    """
    folder = next(path for path in (place, *place.absolute().parents) if os.path.exists(path))
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        raise InputError(f"{place} cannot be written: {folder} is not a writable folder")


def check_output_file(file: Path) -> Path:
    """Return a file to write.

    Raises:
        InputError: it is a folder, or its folder does not exist or cannot be written.
    """
    if os.path.isdir(file):
        raise InputError(f"{file} is a folder; expected a file")
    if not os.path.isdir(file.parent):
        raise InputError(f"{file} cannot be written: there is no folder {file.parent}")
    check_writable(file.parent)
    return file


def replace(file: Path, content: bytes) -> None:
    """Replace a file atomically: after a crash it has the old content or the new content, never a part of it."""
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
    """Append text to a file and wait until it is on disk."""
    with file.open("a", encoding="utf-8", errors="backslashreplace") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())


def keep_damaged_copy(file: Path) -> Path:
    """Copy a file to ``<name>.damaged``, or ``<name>.damaged-2`` and so on if that exists; return the copy's path."""
    endings = itertools.chain([""], (f"-{number}" for number in itertools.count(2)))
    copy = next(path for end in endings if not (path := file.with_name(f"{file.name}.damaged{end}")).exists())
    shutil.copyfile(file, copy)
    return copy
