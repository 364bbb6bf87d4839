"""The lock of a run: one search at a time, on file systems with and without locks."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bloodtune.errors import InputError
from bloodtune.run.lock import MARKER, is_locked, locked

ENOTSUPP = 524  # of the kernel, without a name in Python


def failing(number: int) -> Callable[..., Any]:
    def fail(*_: object) -> Any:
        raise OSError(number, os.strerror(number))

    return fail


@pytest.fixture(params=[errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.EINVAL, ENOTSUPP])
def no_locks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fcntl, "flock", failing(request.param))


def test_a_locked_run_refuses_a_second_search_until_the_first_one_ends(tmp_path: Path) -> None:
    with locked(tmp_path, "first"):
        assert is_locked(tmp_path)
        with pytest.raises(InputError, match=r"^run first is in use by another search$"), locked(tmp_path, "first"):
            pytest.fail("both searches hold the run")
    assert not is_locked(tmp_path)
    assert os.listdir(tmp_path) == [".lock"]
    with locked(tmp_path, "first"):
        pass


def test_asking_for_a_lock_writes_nothing(tmp_path: Path) -> None:
    assert not is_locked(tmp_path)
    assert os.listdir(tmp_path) == []


@pytest.mark.usefixtures("no_locks")
def test_without_locks_a_file_marks_the_run_and_a_line_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with locked(tmp_path, "first"):
        assert is_locked(tmp_path)
        refused = rf"^run first is in use by another search; if none runs, delete {tmp_path / MARKER}$"
        with pytest.raises(InputError, match=refused), locked(tmp_path, "first"):
            pytest.fail("both searches hold the run")
    assert not is_locked(tmp_path)
    assert not (tmp_path / MARKER).exists()
    told = f"{tmp_path}: no locks on this file system; .in-use marks the run as in use, for searches that see it\n"
    assert capsys.readouterr().err == told


def test_the_mark_of_a_killed_search_is_removed_by_the_next_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fcntl, "flock", failing(errno.ENOSYS))
    child = os.fork()
    if child == 0:
        holding = locked(tmp_path, "first")
        holding.__enter__()
        os._exit(0)
    os.waitpid(child, 0)
    assert (tmp_path / MARKER).exists()
    with locked(tmp_path, "first"):
        assert is_locked(tmp_path)
    assert not (tmp_path / MARKER).exists()


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES, errno.ENOSPC])
def test_a_folder_that_cannot_be_written_is_not_said_to_be_in_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    before = os.open

    def fail(path: Any, flags: int, *mode: Any, **others: Any) -> int:
        if str(path).endswith(".lock"):
            raise OSError(number, os.strerror(number))
        return before(path, flags, *mode, **others)

    monkeypatch.setattr(os, "open", fail)
    refused = rf"^run first cannot be locked: {os.strerror(number)}$"
    with pytest.raises(InputError, match=refused), locked(tmp_path, "first"):
        pytest.fail("locked")
