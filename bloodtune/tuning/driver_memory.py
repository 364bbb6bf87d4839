"""A Tune callback that frees checkpoints and results of trials in the driver's memory."""

from __future__ import annotations

from typing import Any

from ray.tune import Callback

from bloodtune.tuning.ray_patches import free_checkpoint, free_results


class ResultCleaner(Callback):  # type: ignore[misc]
    """Free a trial's checkpoint once its worker has it, and its results once searcher and scheduler have taken them."""

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Free the checkpoint that the trial goes on from."""
        free_checkpoint(trial)

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Free the results of a trial that finished."""
        free_results(trial)

    on_trial_error = on_trial_complete
