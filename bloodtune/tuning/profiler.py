"""Where the time of a search went: the parts of all its workers, as a table."""

from __future__ import annotations

from typing import Any

import pandas as pd
from ray.tune import Callback

# In the order of a trial's life. What is left of the workers' time is idle: their start (worker_preload.py), after
# their last trial, and what an interruption kept from being reported.
PARTS = {
    "suggest": "the driver asks Optuna",
    "start": "from a trial's end to the next one's first step",
    "load": "a worker puts the data on its device, and imports torch if it has not yet",
    "augment": "batches are drawn",
    "forward and backward": "with the optimiser and the average of weights",
    "validate": "after each epoch",
    "report": "from a report to the driver's answer",
    "idle": "the rest",
}


class Profiler(Callback):  # type: ignore[misc]
    """Sum up the seconds of the parts that workers report."""

    def __init__(self) -> None:
        self._seconds = dict.fromkeys(PARTS, 0.0)

    def on_trial_result(self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **_: Any) -> None:
        """Take in the parts of a report."""
        for part, seconds in result.get("parts", {}).items():
            self._seconds[part] += seconds

    def table(self, total: float, suggest: float) -> pd.DataFrame:
        """Return the seconds of each part and their share of ``total`` worker-seconds.

        ``suggest`` has those of the driver, in which a worker waits for its next trial.
        """
        spent = self._seconds | {"suggest": suggest, "start": max(0.0, self._seconds["start"] - suggest)}
        spent["idle"] = max(0.0, total - sum(spent.values()))
        table = pd.DataFrame({"part": spent.keys(), "seconds": spent.values(), "what": PARTS.values()})
        table.insert(2, "percent", 100 * table.seconds / total)
        return table.round({"seconds": 2, "percent": 1})
