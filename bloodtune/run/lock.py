"""The lock of a run: one search at a time; where the file system has no locks, a file marks the run as in use."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, SoftFileLock, Timeout, lock_descriptor

from bloodtune.command_line import print_lines
from bloodtune.errors import InputError
from bloodtune.files import UNSUPPORTED

LOCK, MARKER = ".lock", ".in-use"

_NO_LOCKS = UNSUPPORTED | {errno.ENOLCK}


@contextlib.contextmanager
def locked(folder: Path, name: str) -> Iterator[None]:
    """Lock the folder of a run against other searches while the context lasts.

    Where the file system has no locks, the file ``.in-use`` exists for as long. A search that was killed leaves it; the
    next search on the same host removes it, on another host the user has to.

    Raises:
        InputError: another search uses the run, or the folder cannot be written.
    """
    # Not at once: `is_locked` holds the lock for a moment.
    lock = FileLock(folder / LOCK, timeout=0.5, fallback_to_soft=False)
    try:
        lock.acquire()
    except Timeout:
        raise InputError(f"run {name} is in use by another search") from None
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise InputError(f"run {name} cannot be locked: {error.strerror}") from None
        lock = _marked(folder, name)
    try:
        yield
    finally:
        lock.release()


def is_locked(folder: Path) -> bool:
    """Return whether a search uses the run in this folder. Nothing is written."""
    file = folder / LOCK
    mode = "r+b" if os.access(file, os.W_OK) else "rb"  # on NFS an exclusive lock needs a file open for writing
    with contextlib.suppress(OSError), file.open(mode) as stream:  # no lock file, or no locks on this file system
        if not lock_descriptor(stream.fileno(), blocking=False):
            return True
    return os.path.exists(folder / MARKER)


def _marked(folder: Path, name: str) -> SoftFileLock:
    marker = SoftFileLock(folder / MARKER, timeout=0)
    try:
        marker.acquire()
    except Timeout:
        hint = f"if none runs, delete {folder / MARKER}"
        raise InputError(f"run {name} is in use by another search; {hint}") from None
    except OSError as error:
        raise InputError(f"run {name} cannot be locked: {error.strerror}") from None
    print_lines(f"{folder}: no locks on this file system; {MARKER} marks the run as in use, for searches that see it")
    return marker
