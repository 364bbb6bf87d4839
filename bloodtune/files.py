"""Durable writes of files and folders, write access, copies, home; `latest`; JSON of strangers."""

from __future__ import annotations

import contextlib
import errno
import itertools
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from bloodtune.errors import InputError

LATEST = "latest"
RUN_MODEL = "model"  # of a run directory: the folder of its model
_COMPLETE = "complete"  # marks a new folder that is completely written

# Errors of an operation that a file system lacks, such as a sync on some FUSE mounts. 524 is Linux's ENOTSUPP.
UNSUPPORTED = frozenset({errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, 524})


def home_folder() -> Path:
    """Return the user's home folder.

    Raises:
        InputError: there is none, as for a user of a container that has no name and no ``HOME``.
    """
    try:
        return Path.home()
    except RuntimeError:
        raise InputError("this user has no home folder; set HOME to a folder") from None


def check_writable(place: Path) -> None:
    """Check that ``place`` is a writable folder or can be created as one. Nothing is written.

    Raises:
        InputError: ``place`` (if it does not exist: its nearest existing parent) is not a writable folder.
    """
    folder = next(path for path in (place, *place.absolute().parents) if os.path.exists(path))
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        raise InputError(f"{place} cannot be written: {folder} is not a writable folder")


def check_replaceable(folder: Path) -> None:
    """Check that ``replace_folder`` can write ``folder``, and a new folder beside it. Nothing is written.

    Raises:
        InputError: one of them cannot be written, or ``folder`` contains the current folder.
    """
    place = folder.resolve()
    if Path.cwd().is_relative_to(place):
        raise InputError(f"{folder} contains the current folder, and would be replaced as a whole")
    check_writable(folder)
    check_writable(place.parent)


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


@contextlib.contextmanager
def if_supported() -> Iterator[None]:
    """Ignore an error that says that the file system lacks the operation."""
    try:
        yield
    except OSError as error:
        if error.errno not in UNSUPPORTED:
            raise


def replace(file: Path, content: bytes) -> None:
    """Replace a file atomically: after a crash it has the old content or the new content, never a part of it."""
    temporary = file.with_name(f".{file.name}")
    try:
        with temporary.open("wb") as stream:
            stream.write(content)
            stream.flush()
            with if_supported():
                os.fsync(stream.fileno())
        temporary.replace(file)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise


def replace_folder(folder: Path, contents: Mapping[str, bytes]) -> None:
    """Replace a folder, with all that it held, by files. After a crash ``finish_folder`` restores a complete folder.

    A link to a folder stays, and its target is replaced.
    """
    new = _new_folder(folder)
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(parents=True)
    for name, content in contents.items():
        replace(new / name, content)
    (new / _COMPLETE).touch()
    finish_folder(folder)


def finish_folder(folder: Path) -> None:
    """Put a completely written new folder in place; delete an incomplete one."""
    new = _new_folder(folder)
    if not (new / _COMPLETE).exists():
        shutil.rmtree(new, ignore_errors=True)
        return
    place = folder.resolve()  # not the name of a link to it
    shutil.rmtree(place, ignore_errors=True)
    new.rename(place)
    (place / _COMPLETE).unlink()


def _new_folder(folder: Path) -> Path:
    place = folder.resolve()
    return place.with_name(f".{place.name}")


def append(file: Path, text: str) -> None:
    """Append text to a file and wait until it is on disk."""
    with file.open("a", encoding="utf-8", errors="backslashreplace") as stream:
        stream.write(text)
        stream.flush()
        with if_supported():
            os.fsync(stream.fileno())


def parse_json(text: str | bytes) -> Any:
    """Return what JSON holds; raises ValueError, also where Python raises RecursionError."""
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def keep_damaged_copy(file: Path) -> Path:
    """Copy a file to ``<name>.damaged``, or ``<name>.damaged-2`` and so on if that exists; return the copy's path."""
    endings = itertools.chain([""], (f"-{number}" for number in itertools.count(2)))
    copy = next(path for end in endings if not (path := file.with_name(f"{file.name}.damaged{end}")).exists())
    shutil.copyfile(file, copy)
    return copy


def point_latest(folder: Path, name: str) -> str:
    """Point ``folder/latest`` at ``folder/name``, atomically: a link, or a file with the name where links fail.

    Returns:
        A line for the user if neither can be written, else an empty string.
    """
    temporary = folder / f".{LATEST}-{os.getpid()}"
    try:
        temporary.unlink(missing_ok=True)
        temporary.symlink_to(name)
        temporary.replace(folder / LATEST)
    except OSError:
        try:
            replace(folder / LATEST, f"{name}\n".encode())
        except OSError as error:
            return f"{folder / LATEST} does not name {name}: {error.strerror}"
        finally:
            temporary.unlink(missing_ok=True)
    return ""


def latest_name(folder: Path) -> str | None:
    """Return the name of the folder that ``folder/latest`` points at, or None if it points at none."""
    pointer = folder / LATEST
    with contextlib.suppress(OSError, UnicodeDecodeError):
        text = os.readlink(pointer) if pointer.is_symlink() else pointer.read_text(encoding="utf-8")
        return os.path.basename(text.strip()) or None
    return None


def follow_latest(path: Path) -> Path:
    """Return a path with ``latest`` replaced by the name that it points at now."""
    for place in (path, *path.parents):
        if place.name == LATEST and (name := latest_name(place.parent)):
            return place.parent / name / path.relative_to(place)
    return path
