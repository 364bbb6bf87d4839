"""Free memory, as the files of Linux give it."""

from __future__ import annotations

from pathlib import Path

import pytest

from bloodtune.data import room
from error_fixtures import refusal


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a folder that stands for /, with 8 GiB of free memory."""
    monkeypatch.setattr(room, "Path", lambda path: tmp_path / path.lstrip("/"))
    monkeypatch.setattr(room, "_CONTROL_GROUPS", tmp_path / "sys/fs/cgroup")
    write(tmp_path / "proc/meminfo", f"MemTotal: 9 kB\nMemAvailable: {8 * 2**20} kB\n")
    return tmp_path


def write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def test_without_a_control_group_it_is_what_the_system_has(files: Path) -> None:
    assert room.free_memory() == 8 * 2**30


@pytest.mark.parametrize(
    ("line", "file"),
    [
        ("0::/user/one", "user/one/memory.max"),
        ("0::/user/one", "memory.max"),
        ("4:cpu,memory:/one", "memory/one/memory.limit_in_bytes"),
        ("4:memory:/not/here", "memory/memory.limit_in_bytes"),
    ],
)
def test_the_limit_of_a_control_group_counts(files: Path, line: str, file: str) -> None:
    write(files / "proc/self/cgroup", f"1:cpuset:/two\n{line}\n")
    write(files / "sys/fs/cgroup" / file, "1234567\n")
    assert room.free_memory() == 1234567


def test_a_group_without_a_limit_does_not_count(files: Path) -> None:
    write(files / "proc/self/cgroup", "0::/one\n")
    write(files / "sys/fs/cgroup/one/memory.max", "max\n")
    assert room.free_memory() == 8 * 2**30


def test_another_system_is_not_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "Path", lambda path: tmp_path / path.lstrip("/"))
    assert room.free_memory() is None
    room.check_memory(10**15, "x", "y")


def test_what_does_not_fit_is_refused_with_both_numbers(files: Path) -> None:
    told = refusal(lambda: room.check_memory(16 * 10**9, "it", "take less"))
    assert told == "it needs 16.0 GB of memory, and 8.6 GB are free; take less"
