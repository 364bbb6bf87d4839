"""The stopper of a search: Ctrl-C, another signal, the end of the time budget, or a failure."""

from __future__ import annotations

import contextlib
import math
import signal
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

from ray.tune.stopper import Stopper

from bloodtune.command_line import ENDING

# Reasons by signal.
_SIGNALS = {signal.SIGINT: "Ctrl-C"} | {number: number.name for number in ENDING}


class Interrupt(Stopper):  # type: ignore[misc]
    """Stops all trials once ``reason`` is set; a second Ctrl-C ends the process at once.

    ``time_budget`` is in seconds, None for no end. ``failure`` returns why the search cannot go on, or an empty string.
    """

    def __init__(self, time_budget: float | None = None, failure: Callable[[], str] = str) -> None:
        self.reason = ""
        self._failure = failure
        self._end = time.monotonic() + time_budget if time_budget is not None else None

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """Handle the signals for as long as the context lasts; only a process's main thread can.

        What is ignored, as SIGHUP under ``nohup``, stays so.
        """
        is_main = threading.current_thread() is threading.main_thread()
        handled = [number for number in _SIGNALS if is_main and signal.getsignal(number) != signal.SIG_IGN]
        before = {number: signal.signal(number, self._take) for number in handled}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def __getstate__(self) -> dict[str, Any]:
        """Return nothing: Tune pickles its stopper into a checkpoint that nobody reads."""
        return {}

    @property
    def seconds_left(self) -> float:
        """Seconds until the time budget ends; infinite without one."""
        return math.inf if self._end is None else max(0.0, self._end - time.monotonic())

    @property
    def by_signal(self) -> bool:
        """True if a signal ended the search, False if the time budget did."""
        return self.reason in _SIGNALS.values()

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        """Never stop one trial alone."""
        return False

    def stop_all(self) -> bool:
        """Return whether the search should stop; Tune calls this several times a second."""
        self.reason = self.reason or self._failure()
        if not self.reason and self._end is not None and time.monotonic() >= self._end:
            self.reason = "time budget used up"
        return bool(self.reason)

    def _take(self, number: int, frame: FrameType | None) -> None:
        self.reason = _SIGNALS[signal.Signals(number)]
        signal.signal(signal.SIGINT, signal.default_int_handler)
