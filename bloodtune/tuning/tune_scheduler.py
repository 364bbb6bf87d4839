"""Ray Tune's scheduler: applies the queue's rule to reports, and gives free workers to the newest waiting trial."""

from __future__ import annotations

from typing import Any

from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler

from bloodtune.run.records import OBJECTIVE
from bloodtune.tuning.asha import CONTINUE
from bloodtune.tuning.trial_queue import TrialQueue


class QueueScheduler(FIFOScheduler):  # type: ignore[misc]
    """The adapter between Tune's scheduler interface and the queue, whose rule decides at rungs."""

    def __init__(self, queue: TrialQueue) -> None:
        super().__init__()
        self._queue = queue

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """Return STOP for a trial that pauses or is pruned; a worker reports at every rung."""
        if OBJECTIVE not in result:  # a failure: nothing to decide on
            return str(self.CONTINUE)
        verdict = self._queue.decide(trial.config["trial"], result["epoch"], result[OBJECTIVE])
        return str(self.CONTINUE if verdict == CONTINUE else self.STOP)

    def choose_trial_to_run(self, tune_controller: Any) -> Any | None:
        """Return the newest waiting trial for a free worker; for an older one, a worker is already starting.

        Tune by itself would give the free worker to the oldest trial and cancel the worker that is starting. If trials
        are shorter than a worker's start, a dead worker would then never be replaced.
        """
        waiting = (trial for trial in tune_controller.get_live_trials() if trial.status == Trial.PENDING)
        return max(waiting, key=lambda trial: trial.config["turn"], default=None)
