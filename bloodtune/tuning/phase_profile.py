"""The profile of a search: the seconds of all its workers by phase, as a table."""

from __future__ import annotations

from typing import Any

import pandas as pd
from ray.tune import Callback

# In the order of a trial's life. The rest of the workers' time is idle: before their first trial (worker_preload.py),
# after their last trial, and in trials that were interrupted before their report.
PARTS = {
    "suggest": "the driver waits for Optuna's proposal",
    "start": "from a trial's end to the next one's first step",
    "load": "a worker puts the data on its device, and imports torch if it has not yet",
    "augment": "batches are drawn",
    "forward and backward": "with the optimiser and the average of weights",
    "validate": "after each epoch",
    "report": "from a report to the driver's answer",
    "idle": "the rest",
}


class Profiler(Callback):  # type: ignore[misc]
    """Sum up the seconds that workers report by phase."""

    def __init__(self) -> None:
        self._seconds = dict.fromkeys(PARTS, 0.0)

    def on_trial_result(self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **_: Any) -> None:
        """Add the phases of a report."""
        for part, seconds in result.get("parts", {}).items():
            self._seconds[part] += seconds

    def table(self, total: float, suggest: float) -> pd.DataFrame:
        """Return the seconds of each phase and their share of ``total`` worker-seconds.

        ``suggest`` are the driver's seconds for proposals, while a worker waits for its next trial.
        """
        spent = self._seconds | {"suggest": suggest, "start": max(0.0, self._seconds["start"] - suggest)}
        spent["idle"] = max(0.0, total - sum(spent.values()))
        table = pd.DataFrame({"part": spent.keys(), "seconds": spent.values(), "what": PARTS.values()})
        table.insert(2, "percent", 100 * table.seconds / total)
        return table.round({"seconds": 2, "percent": 1})
