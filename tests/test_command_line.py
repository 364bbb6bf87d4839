"""The garbage collector pauses for imports; errors of a command become one line and an exit code."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from bloodtune.command_line import collector_paused, leave, run_action
from bloodtune.errors import InputError


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
