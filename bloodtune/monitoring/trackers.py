"""The trackers of a search side by side: TensorBoard always, MLflow and Weights & Biases on request."""

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

_CLOSING_SECONDS = 60.0  # for what a slow server has not taken yet


TRACKERS: dict[str, Callable[[RunDirectory], Tracker]] = {"mlflow": MlflowTracker, "wandb": WandbTracker}


class Trackers:
    """Trackers side by side, each in a thread of its own: a slow one delays nothing, one that fails is left out."""

    def __init__(self, run: RunDirectory, names: Sequence[str], say: Callable[[str], None]) -> None:
        makers: dict[str, Callable[[RunDirectory], Tracker]] = {"tensorboard": lambda run: EventFiles(run.path)}
        makers |= {name: TRACKERS[name] for name in names}
        self._say = say
        self._followers = [_Follower(name, functools.partial(make, run), say) for name, make in makers.items()]

    def epochs(self, proposal: Proposal, epochs: Sequence[EpochRecord]) -> None:
        """Hand on new epochs of a trial."""
        self._tell(lambda tracker: tracker.epochs(proposal, epochs))

    def finished(self, record: TrialRecord) -> None:
        """Hand on the end of a trial."""
        self._tell(lambda tracker: tracker.finished(record))

    def close(self) -> None:
        """Wait until all has been taken in, for a minute at most."""
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
    """A tracker in a thread; None ends it."""

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
        except Exception as error:  # whatever a server or its library raises; the search does not depend on it
            reason = " ".join(str(error).split())[:200]
            say(f"tracking with {self.name} ended: {type(error).__name__}: {reason}")


def check_trackers(names: Sequence[str]) -> None:
    """Check that the packages of trackers are installed.

    Raises:
        InputError: one is not, or would ask for a key.
    """
    for name in names:
        if importlib.util.find_spec(name) is None:
            raise InputError(f"--track {name}: it is not installed; pip install -c constraints.txt -e '.[{name}]'")
    if "wandb" in names and not has_wandb_key():
        raise InputError("--track wandb: no key here; `wandb login` leaves one, WANDB_MODE=offline does without")
