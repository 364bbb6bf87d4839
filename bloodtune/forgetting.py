"""What Ray Tune keeps of a finished trial until the search ends, and nobody reads."""

from __future__ import annotations

from typing import Any

from ray.tune import Callback


class Forgetting(Callback):  # type: ignore[misc]
    """Let go of a finished trial's results: Tune keeps six statistics and two windows of every number in them.

    They are most of what a trial takes in the driver's memory (docs/experiments.md); all of it is in the run directory.
    """

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Forget them; searcher and scheduler have been told."""
        kept = trial.run_metadata
        kept.metric_analysis.clear()
        kept.metric_n_steps.clear()
        kept.last_result = {}

    on_trial_error = on_trial_complete
