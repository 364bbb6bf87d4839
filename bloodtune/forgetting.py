"""What Ray Tune does for each trial, and nobody needs."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from typing import Any

from ray.tune import Callback, registry


class Forgetting(Callback):  # type: ignore[misc]
    """Let go of a finished trial's results and checkpoint: Tune keeps six statistics and two windows of every number.

    They are most of what a trial takes in the driver's memory (docs/experiments.md); all of it is in the run directory.
    """

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Forget them; searcher and scheduler have been told."""
        kept = trial.run_metadata
        kept.metric_analysis.clear()
        kept.metric_n_steps.clear()
        kept.last_result = {}
        for config in (trial.config, trial.evaluated_params):
            config.pop("checkpoint", None)

    on_trial_error = on_trial_complete


@contextlib.contextmanager
def remembered_trainable() -> Iterator[None]:
    """Let Tune ask the cluster once for the class that it registered there, not five times a trial."""
    known = registry._global_registry
    known.get, known.contains = functools.cache(known.get), functools.cache(known.contains)
    try:
        yield
    finally:
        del known.get, known.contains
