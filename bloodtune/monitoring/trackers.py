"""All trackers of a search, one thread each: TensorBoard always, MLflow and Weights & Biases on request."""

from __future__ import annotations

import functools
import importlib.util
import queue
import threading
import time
from collections.abc import Callable, Sequence

from bloodtune.errors import InputError
from bloodtune.monitoring.mlflow_tracker import MlflowTracker
from bloodtune.monitoring.tensorboard import EventFiles
from bloodtune.monitoring.tracker import Tracker
from bloodtune.monitoring.wandb_tracker import WandbTracker, has_wandb_key
from bloodtune.run.directory import RunDirectory
from bloodtune.run.records import EpochRecord, Proposal, TrialRecord

_CLOSING_SECONDS = 60.0  # at the end of a search, for events that a slow server has not accepted yet


TRACKERS: dict[str, Callable[[RunDirectory], Tracker]] = {"mlflow": MlflowTracker, "wandb": WandbTracker}


class Trackers:
    """Runs each tracker in its own thread. A slow tracker does not delay the search; a failing tracker is dropped."""

    def __init__(self, run: RunDirectory, names: Sequence[str], say: Callable[[str], None]) -> None:
        makers: dict[str, Callable[[RunDirectory], Tracker]] = {"tensorboard": lambda run: EventFiles(run.path)}
        makers |= {name: TRACKERS[name] for name in names}
        self._say = say
        self._followers = [_Follower(name, functools.partial(make, run), say) for name, make in makers.items()]

    def epochs(self, proposal: Proposal, epochs: Sequence[EpochRecord]) -> None:
        """Send new epochs of a trial to all trackers."""
        self._tell(lambda tracker: tracker.epochs(proposal, epochs))

    def finished(self, record: TrialRecord) -> None:
        """Send the end of a trial to all trackers."""
        self._tell(lambda tracker: tracker.finished(record))

    def close(self) -> None:
        """Close all trackers; wait at most one minute for their remaining events."""
        self._tell(lambda tracker: tracker.close())
        self._tell(None)
        end = time.monotonic() + _CLOSING_SECONDS
        for follower in self._followers:
            follower.thread.join(max(0.0, end - time.monotonic()))
            if follower.thread.is_alive():
                self._say(f"tracking with {follower.name}: not all was taken in; the run directory has it")

    def _tell(self, call: Callable[[Tracker], None] | None) -> None:
        for follower in self._followers:
            follower.waiting.put(call)


class _Follower:
    """One tracker in its own thread, which executes queued calls until it gets None."""

    def __init__(self, name: str, make: Callable[[], Tracker], say: Callable[[str], None]) -> None:
        self.name = name
        self.waiting: queue.SimpleQueue[Callable[[Tracker], None] | None] = queue.SimpleQueue()
        self.thread = threading.Thread(target=self._work, args=(make, say), name=f"tracker {name}", daemon=True)
        self.thread.start()

    def _work(self, make: Callable[[], Tracker], say: Callable[[str], None]) -> None:
        try:
            tracker = make()
            while (call := self.waiting.get()) is not None:
                call(tracker)
        except Exception as error:  # a server or its library may raise anything; the search goes on
            reason = " ".join(str(error).split())[:200]
            say(f"tracking with {self.name} ended: {type(error).__name__}: {reason}")


def check_trackers(names: Sequence[str]) -> None:
    """Check that the packages of the named trackers are installed and that Weights & Biases has its key.

    Raises:
        InputError: a package is missing, or Weights & Biases would prompt for a key.
    """
    for name in names:
        if importlib.util.find_spec(name) is None:
            raise InputError(f"--track {name}: it is not installed; pip install -c constraints.txt -e '.[{name}]'")
    if "wandb" in names and not has_wandb_key():
        raise InputError("--track wandb: no key here; `wandb login` leaves one, WANDB_MODE=offline does without")
