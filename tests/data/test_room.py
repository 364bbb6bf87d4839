"""Free memory, as the files of Linux give it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bloodtune.data import room, tiles
from bloodtune.data.dataset import load_dataset
from bloodtune.data.preparation import Preparation
from data_fixtures import make_arrays, save
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
    assert told == "it: 16.0 GB of memory are needed, and 8.6 GB are free; take less"


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"folds": 3}, "--folds 3, of which each worker holds all images once more: 0.0 GB of memory are needed"),
        ({"drop_copies": True}, "--drop-copies: 0.0 GB of memory are needed"),
    ],
)
@pytest.mark.usefixtures("home")
def test_options_that_copy_the_images_are_refused_where_copies_do_not_fit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], told: str
) -> None:
    arrays = make_arrays()
    arrays["test_images"][0] = arrays["train_images"][0]
    source = str(save(tmp_path / "a.npz", arrays))
    monkeypatch.setattr(room, "free_memory", lambda: arrays["train_images"].nbytes + 200)
    assert load_dataset(source).train is not None, "mapped, so it needs no memory"
    assert refusal(lambda: load_dataset(source, Preparation(**options))).startswith(told)


@pytest.mark.usefixtures("home")
def test_photographs_that_do_not_fit_are_refused_before_they_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "free_memory", lambda: 10**9)
    monkeypatch.setattr(tiles, "_read", None)
    told = refusal(lambda: tiles.read_tiles(tmp_path, ["a.png"] * 3000, size=224, crop=None))
    assert told == (
        f"{tmp_path}: 3,000 photographs of 224 x 224 pixels: 1.4 GB of memory are needed, and 1.0 GB are free; "
        "allowed: a smaller --size, or fewer of them"
    )
