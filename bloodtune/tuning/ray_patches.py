"""Patches of Ray Tune: per-trial work that is not needed, and deaths of workers made known."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from typing import Any
from unittest import mock

from ray import exceptions
from ray.air.execution._internal.actor_manager import RayActorManager
from ray.tune import Callback, registry
from ray.tune.execution import class_cache
from ray.tune.experiment import Trial

# With an actor's process or host goes what it was about to return.
_DEATHS = (
    exceptions.NodeDiedError,
    exceptions.ObjectLostError,
    exceptions.OutOfMemoryError,
    exceptions.WorkerCrashedError,
)


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
def fewer_questions() -> Iterator[None]:
    """Let Tune ask the cluster once for the class that it registered there, not five times a trial.

    And let it not ask each worker where it is: the answer goes down with a host that dies, and the search with it.
    Nor to set environment variables for its workers, which are of no use here: Ray would start a new process for each
    and end one that waits.
    """
    known = registry._global_registry
    with (
        mock.patch.object(class_cache, "DEFAULT_ENV_VARS", {}),
        mock.patch.object(class_cache, "ENV_VARS_TO_PROPAGATE", ()),
        mock.patch.object(known, "get", functools.cache(known.get)),
        mock.patch.object(known, "contains", functools.cache(known.contains)),
        mock.patch.object(Trial, "set_ray_actor", _set_ray_actor),
    ):
        yield


def _set_ray_actor(trial: Trial, actor: Any) -> None:
    trial.temporary_state.ray_actor = actor


@contextlib.contextmanager
def known_deaths() -> Iterator[None]:
    """Let Tune take whatever tells of an actor's death for that; some of it would end the search."""
    original = RayActorManager._actor_task_failed

    def fail(manager: RayActorManager, tracked_actor_task: Any, exception: Exception) -> None:
        if isinstance(exception, _DEATHS):
            exception = exceptions.RayActorError(error_msg=str(exception))
        original(manager, tracked_actor_task, exception)

    with mock.patch.object(RayActorManager, "_actor_task_failed", fail):
        yield
