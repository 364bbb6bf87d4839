"""Trackers of a search, one thread each: TensorBoard; MLflow and Weights & Biases on request."""

from __future__ import annotations

import functools
import importlib.util
import queue
import threading
import time
from collections.abc import Callable, Sequence

from bloodtune.errors import InputError, describe
from bloodtune.monitoring.mlflow_tracker import MlflowTracker
from bloodtune.monitoring.tensorboard import EventFiles
from bloodtune.monitoring.tracker import Tracker
from bloodtune.monitoring.wandb_tracker import WandbTracker, has_wandb_key
from bloodtune.run.directory import RunDirectory
from bloodtune.run.records import EpochRecord, Proposal, TrialRecord

_CLOSING_SECONDS = 60.0  # wait at the end of a search for a server that has not accepted all events

TRACKERS: dict[str, Callable[[RunDirectory], Tracker]] = {"mlflow": MlflowTracker, "wandb": WandbTracker}


class Trackers:
    """Runs each tracker in its own thread. A slow tracker does not delay the search; a failing tracker is dropped."""

    def __init__(self, run: RunDirectory, names: Sequence[str], warn: Callable[[str], None]) -> None:
        makers: dict[str, Callable[[RunDirectory], Tracker]] = {"tensorboard": lambda run: EventFiles(run.path)}
        makers |= {name: TRACKERS[name] for name in names}
        self._warn = warn
        self._threads = [_TrackerThread(name, functools.partial(make, run), warn) for name, make in makers.items()]

    def epochs(self, proposal: Proposal, epochs: Sequence[EpochRecord]) -> None:
        """Send new epochs of a trial to all trackers."""
        self._call(lambda tracker: tracker.epochs(proposal, epochs))

    def finished(self, record: TrialRecord) -> None:
        """Send the end of a trial to all trackers."""
        self._call(lambda tracker: tracker.finished(record))

    def close(self) -> None:
        """Close all trackers; wait at most one minute for their remaining events."""
        self._call(lambda tracker: tracker.close())
        self._call(None)
        end = time.monotonic() + _CLOSING_SECONDS
        for tracker in self._threads:
            tracker.thread.join(max(0.0, end - time.monotonic()))
            if tracker.thread.is_alive():
                late = f"some events were not accepted within {_CLOSING_SECONDS:.0f} s"
                self._warn(f"tracking with {tracker.name}: {late}; the run directory has all results")

    def _call(self, call: Callable[[Tracker], None] | None) -> None:
        for tracker in self._threads:
            tracker.calls.put(call)


class _TrackerThread:
    """One tracker in its own thread, which executes queued calls until it gets None."""

    def __init__(self, name: str, make: Callable[[], Tracker], warn: Callable[[str], None]) -> None:
        self.name = name
        self.calls: queue.SimpleQueue[Callable[[Tracker], None] | None] = queue.SimpleQueue()
        self.thread = threading.Thread(target=self._run, args=(make, warn), name=f"tracker {name}", daemon=True)
        self.thread.start()

    def _run(self, make: Callable[[], Tracker], warn: Callable[[str], None]) -> None:
        try:
            tracker = make()
            while (call := self.calls.get()) is not None:
                call(tracker)
        except Exception as error:  # a server or its library may raise anything; the search goes on
            warn(f"tracking with {self.name} ended ({describe(error)[:200]}); the search is not affected")


def check_trackers(names: Sequence[str]) -> None:
    """Check that the packages of the named trackers are installed and that Weights & Biases has a key.

    Raises:
        InputError: a package is missing, or Weights & Biases would prompt for a key.
    """
    for name in names:
        if importlib.util.find_spec(name) is None:
            install = f"pip install -c constraints.txt -e '.[{name}]'"
            raise InputError(f"--track {name}: package {name} is not installed; run {install}")
    if "wandb" in names and not has_wandb_key():
        raise InputError("--track wandb: no API key found; run `wandb login`, or set WANDB_MODE=offline")
