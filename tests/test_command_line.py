"""The garbage collector pauses for imports; errors of a command become one line and an exit code."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bloodtune.command_line import ENDING, collector_paused, leave, print_lines, run_action
from bloodtune.errors import InputError
from bloodtune.tuning.ray_cluster import resolve_address
from command_fixtures import ROOT


@pytest.fixture(autouse=True)
def _unfrozen() -> Iterator[None]:
    yield
    gc.unfreeze()
    gc.enable()


@pytest.mark.parametrize("was_on", [True, False])
def test_the_collector_pauses_and_is_as_before(was_on: bool) -> None:
    if not was_on:
        gc.disable()
    with collector_paused():
        assert not gc.isenabled()
    assert gc.isenabled() == was_on


def test_an_import_that_fails_leaves_the_collector_on() -> None:
    with pytest.raises(ImportError, match="no torch"), collector_paused():
        raise ImportError("no torch")
    assert gc.isenabled()


def test_what_was_imported_is_not_looked_at_again() -> None:
    with collector_paused():
        module = {"made": []}
    assert gc.get_freeze_count() > 0
    assert all(known is not module for known in gc.get_objects())


def test_a_program_leaves_with_its_exit_code_and_nothing_to_collect() -> None:
    with pytest.raises(SystemExit) as left:
        leave(2)
    assert left.value.code == 2
    assert gc.get_freeze_count() > 0


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (InputError("no such folder"), 2, "count: no such folder"),
        (OSError("disk\nfull"), 1, "count: disk full; kept"),
        (KeyboardInterrupt(), 130, "count: stopped; kept"),
        (KeyboardInterrupt("by SIGTERM"), 130, "count: stopped by SIGTERM; kept"),
    ],
)
def test_an_error_of_a_command_is_one_line_and_an_exit_code(
    error: BaseException, code: int, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def action() -> int:
        raise error

    assert run_action("count", action, "kept") == code
    assert capsys.readouterr().err == f"{line}\n"


def test_the_code_of_a_command_and_an_error_of_the_program_pass(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_action("count", lambda: 7) == 7
    with pytest.raises(ZeroDivisionError, match="by zero"):
        run_action("count", lambda: 1 // 0)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("number", ENDING)
def test_a_signal_ends_a_command_as_ctrl_c_does(number: signal.Signals, capsys: pytest.CaptureFixture[str]) -> None:
    left = []

    def action() -> int:
        try:
            signal.raise_signal(number)
        finally:
            left.append("cleanly")
        return 0

    before = signal.getsignal(number)
    assert run_action("count", action) == 130
    assert (left, capsys.readouterr().err) == (["cleanly"], f"count: stopped by {number.name}\n")
    assert signal.getsignal(number) == before


def test_a_signal_that_comes_where_python_cannot_raise_comes_again(capsys: pytest.CaptureFixture[str]) -> None:
    class Busy:
        def __del__(self) -> None:
            signal.raise_signal(signal.SIGTERM)

    def act() -> int:
        busy = Busy()
        del busy  # as in a callback while a process forks: the exception ends here
        time.sleep(10)
        return 0

    assert run_action("search", act) == 130
    assert capsys.readouterr().err == "search: stopped by SIGTERM\n"


def test_a_signal_that_is_ignored_stays_so() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert run_action("count", lambda: signal.raise_signal(signal.SIGHUP) or 0) == 0  # type: ignore[func-returns-value]
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_process_that_a_command_forked_is_ended_without_a_word(capfd: pytest.CaptureFixture[str]) -> None:
    def action() -> int:
        child = os.fork()
        if not child:
            signal.raise_signal(signal.SIGTERM)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

    assert run_action("count", action) == 128 + signal.SIGTERM
    assert capfd.readouterr().err == ""


def test_a_message_that_nobody_can_read_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w", buffering=1) as gone:
        monkeypatch.setattr(sys, "stderr", gone)
        print_lines("one", "two")
        monkeypatch.undo()
        os.dup2(os.open(os.devnull, os.O_WRONLY), write)


@pytest.mark.parametrize("command", [["-m", "bloodtune.predict"], ["-m", "bloodtune", "predict"]])
def test_a_current_folder_that_was_deleted_is_one_line(command: list[str], tmp_path: Path) -> None:
    (gone := tmp_path / "gone").mkdir()
    inside = f"cd {gone}; rmdir {gone}; exec {sys.executable} {' '.join(command)} /cells"
    variables = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(["bash", "-c", inside], env=variables, capture_output=True, text=True, timeout=60)
    line = "the current folder cannot be used (No such file or directory); change to another one"
    assert (done.returncode, done.stderr) == (2, f"predict: {line}\n")


def test_a_user_without_a_home_folder_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def no_entry(number: int) -> None:
        raise KeyError(number)

    monkeypatch.delenv("HOME")
    monkeypatch.setattr("pwd.getpwuid", no_entry)
    assert run_action("count", lambda: 0) == 2
    assert capsys.readouterr().err == "count: this user has no home folder; set HOME to a folder\n"
    with pytest.raises(InputError, match="set HOME"):
        resolve_address(None)
    assert resolve_address("local") == "local"
