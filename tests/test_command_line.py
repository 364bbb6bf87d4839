"""The garbage collector pauses for imports, and is as it was after them."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from bloodtune.command_line import collector_paused, leave


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
    with pytest.raises(ImportError), collector_paused():
        raise ImportError
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
