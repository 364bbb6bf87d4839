"""The early end of a search: signals, the time budget, and failures."""

from __future__ import annotations

import signal
import threading

import pytest

from bloodtune.command_line import ENDING
from bloodtune.tuning.stopper import Interrupt


def test_stop_all_is_false_until_the_time_budget_is_used_up() -> None:
    assert not Interrupt(60).stop_all()
    spent = Interrupt(0)
    assert spent.stop_all()
    assert (spent.reason, spent.by_signal) == ("time budget used up", False)


@pytest.mark.parametrize(
    ("number", "reason"), [(signal.SIGINT, "Ctrl-C")] + [(number, number.name) for number in ENDING]
)
def test_a_signal_asks_to_stop_and_is_handled_as_before_afterwards(number: signal.Signals, reason: str) -> None:
    before = signal.getsignal(number)
    interrupt = Interrupt()
    with interrupt.listening():
        signal.raise_signal(number)
        assert interrupt.stop_all()
    assert (interrupt.reason, interrupt.by_signal) == (reason, True)
    assert signal.getsignal(number) is before


def test_a_signal_that_is_ignored_stays_so() -> None:
    before, interrupt = signal.signal(signal.SIGHUP, signal.SIG_IGN), Interrupt()
    try:
        with interrupt.listening():
            signal.raise_signal(signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)
    assert interrupt.reason == ""


def test_a_second_ctrl_c_ends_the_process() -> None:
    with Interrupt().listening():
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_a_failure_ends_the_search_with_its_reason() -> None:
    told = [""]
    interrupt = Interrupt(None, lambda: told[0])
    assert not interrupt.stop_all()
    told[0] = "cannot go on: OSError: disk full"
    assert interrupt.stop_all()
    assert (interrupt.reason, interrupt.by_signal) == (told[0], False)


def test_no_single_trial_is_stopped() -> None:
    assert not Interrupt(0)("trial", {"epoch": 1})


def test_in_a_thread_a_search_handles_no_signals() -> None:
    before, errors = signal.getsignal(signal.SIGINT), []

    def listen() -> None:
        try:
            with Interrupt().listening():
                assert signal.getsignal(signal.SIGINT) is before
        except Exception as error:
            errors.append(error)

    thread = threading.Thread(target=listen)
    thread.start()
    thread.join()
    assert errors == []
