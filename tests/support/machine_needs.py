"""What a machine must have for the tests that break it: a module's ``MACHINE_NEEDS`` names entries of this one's."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

MEMORY_GROUPS = Path("/sys/fs/cgroup/memory"), Path("/sys/fs/cgroup")  # of versions 1 and 2
_LARGE = 8 * 10**9  # bytes that tests/faults/test_large_data.py writes, and some more

# Where a test host has folders of its own in the place of this machine's (host_fixtures).
_OF_EACH_HOST = (Path("/tmp"), Path("/dev/shm"))


def _root() -> str:
    return "" if sys.platform == "linux" and os.geteuid() == 0 else f"this is user {os.geteuid()} on {sys.platform}"


def _programs(*names: str) -> Callable[[], str]:
    def missing() -> str:
        absent = [name for name in names if not shutil.which(name)]
        return f"no {', '.join(absent)}" if absent else ""

    return missing


def _namespaces(*kinds: str) -> Callable[[], str]:
    def refused() -> str:
        try:
            done = subprocess.run(["unshare", *kinds, "true"], capture_output=True, text=True, timeout=60)
        except OSError as error:
            return str(error)
        return " ".join(done.stderr.split()) if done.returncode else ""

    return refused


def _place() -> str:
    found = {Path(name) for name in (sys.prefix, sys.base_prefix)}
    found |= {path.resolve() for path in found}  # hosts follow a link .venv, if they have what it leads to
    hidden = [path for path in sorted(found) if any(path.is_relative_to(folder) for folder in _OF_EACH_HOST)]
    return f"its Python is in {hidden[0]}" if hidden else ""


def _server() -> str:
    return "" if Path("/usr/sbin/sshd").exists() and not _programs("ssh", "ssh-keygen")() else "no sshd or ssh"


def _memory_groups() -> str:
    writable = any((folder / "cgroup.procs").exists() and os.access(folder, os.W_OK) for folder in MEMORY_GROUPS)
    return "" if writable else f"none in {MEMORY_GROUPS[-1]}"


def _disk() -> str:
    free = shutil.disk_usage("/var/tmp").free
    return "" if free > _LARGE else f"{free / 1e9:.1f} GB are free"


# What a test needs, and a function that says what is in its way; empty if nothing is.
_CHECKS: dict[str, Callable[[], str]] = {
    "root": _root,
    "openssh-server": _server,
    "rsync": _programs("rsync"),
    "iproute2": _programs("ip"),
    "util-linux": _programs("mount", "umount", "unshare"),
    "mount namespaces": _namespaces("--mount"),
    "network namespaces": _namespaces("--net"),
    "control groups of memory": _memory_groups,
    "8 GB in /var/tmp": _disk,
    "a checkout outside /tmp, which each test host has for itself": _place,
}
MOUNTS = ("root", "util-linux")
NAMESPACES = (*MOUNTS, "mount namespaces")
LARGE_DATA = (*MOUNTS, "control groups of memory", "8 GB in /var/tmp")
HOSTS = (
    "root",
    "openssh-server",
    "rsync",
    "iproute2",
    "util-linux",
    "mount namespaces",
    "network namespaces",
    "a checkout outside /tmp, which each test host has for itself",
)


def missing(needs: Iterable[str]) -> str:
    """Return a line with all needs and with what this machine lacks; empty if it has everything."""
    wanted = list(dict.fromkeys(needs))
    lacks = {need: why for need in wanted if (why := _CHECKS[need]())}
    if not lacks:
        return ""
    told = "; ".join(f"{need.partition(',')[0]} ({why})" for need, why in lacks.items())
    return f"these tests need {', '.join(wanted)}; missing on this machine: {told}"
