"""What follows a search: TensorBoard's files in its run directory, and MLflow or Weights & Biases where asked for."""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import netrc
import os
import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any, Protocol
from urllib.parse import urlparse

from bloodtune.errors import InputError
from bloodtune.event_files import EventFiles
from bloodtune.records import FAILED, EpochRecord, Proposal, TrialRecord
from bloodtune.run import RunDirectory

EXPERIMENT = "bloodtune"
_CLOSING_SECONDS = 60.0  # for what a slow server has not taken yet


class Tracker(Protocol):
    """Takes in what happens to trials; epochs come in their order, each once."""

    def epochs(self, proposal: Proposal, epochs: Sequence[EpochRecord]) -> None:
        """Take in new epochs of a trial."""

    def finished(self, record: TrialRecord) -> None:
        """Take in the end of a trial."""

    def close(self) -> None:
        """End the search."""


class MlflowTracker:
    """A run of MLflow for the search, with one below it for each trial, where MLFLOW_TRACKING_URI says.

    A resumed search goes on under its old run.
    """

    def __init__(self, run: RunDirectory) -> None:
        from mlflow import MlflowClient

        self._client = MlflowClient()
        known = self._client.get_experiment_by_name(EXPERIMENT)
        self._experiment = known.experiment_id if known else self._client.create_experiment(EXPERIMENT)
        tags = {"mlflow.runName": run.name, "bloodtune.run": run.name}
        filters = f"tags.`bloodtune.run` = '{run.name}' and tags.`bloodtune.trial` = 'all'"
        found = self._client.search_runs([self._experiment], filters)
        self._search = found[0] if found else self._create(tags | {"bloodtune.trial": "all"})
        self._trials: dict[int, Any] = {}

    def epochs(self, proposal: Proposal, epochs: Sequence[EpochRecord]) -> None:
        """Log the epochs of a trial, and its configuration before the first ones."""
        from mlflow.entities import Metric, Param

        parameters = []
        if proposal.trial not in self._trials and (old := self._begun(proposal.trial)):
            self._client.update_run(old.info.run_id, status="RUNNING")
            self._trials[proposal.trial] = old
        if proposal.trial not in self._trials:
            tags = {"mlflow.parentRunId": self._search.info.run_id, "mlflow.runName": f"trial {proposal.trial}"}
            self._trials[proposal.trial] = self._create(tags | {"bloodtune.trial": str(proposal.trial)})
            given = proposal.configuration.to_mapping() | {"label": proposal.label or None}
            parameters = [Param(name, str(value)) for name, value in given.items() if value is not None]
        run = self._trials[proposal.trial]
        metrics = [
            Metric(name, value, run.info.start_time, epoch.epoch)
            for epoch in epochs
            for name, value in asdict(epoch).items()
            if name != "epoch"
        ]
        self._client.log_batch(run.info.run_id, metrics, parameters)

    def finished(self, record: TrialRecord) -> None:
        """End the trial's run."""
        run = self._trials.pop(record.trial, None)
        if run:
            self._client.set_tag(run.info.run_id, "state", record.state)
            self._client.set_terminated(run.info.run_id, "FAILED" if record.state == FAILED else "FINISHED")

    def close(self) -> None:
        """End the run of the search, and those of trials that were interrupted; they go on when the search does."""
        for run in self._trials.values():
            self._client.set_terminated(run.info.run_id, "KILLED")
        self._client.set_terminated(self._search.info.run_id)

    def _begun(self, trial: int) -> Any:
        """Return the run of a trial that was interrupted, if there is one."""
        below = f"tags.`mlflow.parentRunId` = '{self._search.info.run_id}' and tags.`bloodtune.trial` = '{trial}'"
        return next(iter(self._client.search_runs([self._experiment], below)), None)

    def _create(self, tags: dict[str, str]) -> Any:
        return self._client.create_run(self._experiment, tags=tags)


class WandbTracker:
    """A run of Weights & Biases for each trial, in a group of the search's name; WANDB_MODE=offline keeps them here."""

    def __init__(self, run: RunDirectory) -> None:
        self._name = run.name
        self._trials: dict[int, Any] = {}

    def epochs(self, proposal: Proposal, epochs: Sequence[EpochRecord]) -> None:
        """Log the epochs of a trial, and its configuration before the first ones."""
        import wandb

        if proposal.trial not in self._trials:
            self._trials[proposal.trial] = wandb.init(
                project=EXPERIMENT,
                group=self._name,
                name=f"trial {proposal.trial}",
                id=f"{self._name}-{proposal.trial}",
                config=proposal.configuration.to_mapping() | {"label": proposal.label},
                resume="allow",
                reinit="create_new",
                settings=wandb.Settings(silent=True, console="off", init_timeout=30),
            )
        for epoch in epochs:
            self._trials[proposal.trial].log(asdict(epoch), step=epoch.epoch)

    def finished(self, record: TrialRecord) -> None:
        """End the trial's run."""
        run = self._trials.pop(record.trial, None)
        if run:
            run.summary["state"] = record.state
            run.finish(exit_code=int(record.state == FAILED))

    def close(self) -> None:
        """End the runs of trials that were interrupted; they go on when the search does."""
        for run in self._trials.values():
            run.finish()


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
    if "wandb" in names and not _has_wandb_key():
        raise InputError("--track wandb: no key here; `wandb login` leaves one, WANDB_MODE=offline does without")


def _has_wandb_key() -> bool:
    # Without one wandb would ask, under the live screen.
    if os.environ.get("WANDB_MODE") in ("offline", "disabled", "dryrun") or os.environ.get("WANDB_API_KEY"):
        return True
    host = urlparse(os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai")).hostname or ""
    with contextlib.suppress(OSError, netrc.NetrcParseError):
        return netrc.netrc(os.environ.get("NETRC")).authenticators(host) is not None
    return False
