"""Room for images: the free memory and disk of this machine, and refusals with the numbers."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

from bloodtune.errors import InputError

_CONTROL_GROUPS = Path("/sys/fs/cgroup")


def free_memory() -> int | None:
    """Return the bytes of memory that this process may still take, or None where the system does not say.

    The limit of a container counts as a whole, because what it holds may be files that can be dropped.
    """
    try:
        lines = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text(encoding="utf-8").splitlines())
        found = [int(lines["MemAvailable"].split()[0]) * 1024]
    except (OSError, KeyError, ValueError):  # not Linux
        return None
    for file in _limits():
        try:
            found.append(int(file.read_text()))
        except (OSError, ValueError):  # no such group, or "max"
            continue
    return min(found)


def _limits() -> Iterator[Path]:
    # In both versions of control groups, of this process and of its container.
    try:
        groups = [line.split(":", 2) for line in Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines()]
    except OSError:
        return
    for _, kinds, place in groups:
        if kinds == "" or "memory" in kinds.split(","):
            folder = _CONTROL_GROUPS / "memory" if kinds else _CONTROL_GROUPS
            name = "memory.limit_in_bytes" if kinds else "memory.max"
            yield from (folder / name, folder / place.lstrip("/") / name)


def free_disk(folder: Path) -> int:
    """Return the free bytes of the disk that a folder is on, or will be; 0 if it cannot be asked."""
    there = next(path for path in (folder, *folder.parents) if path.exists())
    try:
        return shutil.disk_usage(there).free
    except OSError:
        return 0


def check_memory(needed: int, what: str, way_out: str) -> None:
    """Check that ``needed`` bytes of memory are free; ``what`` begins the message and ``way_out`` ends it.

    Raises:
        InputError: they are not; the message has both numbers.
    """
    free = free_memory()
    if free is not None and needed > free:
        raise InputError(f"{what}: {gigabytes(needed)} of memory are needed, and {gigabytes(free)} are free; {way_out}")


def gigabytes(count: int) -> str:
    """Return a number of bytes as text, such as ``16.1 GB``."""
    return f"{count / 1e9:,.1f} GB"
