"""Patches of Ray: each applied only where Ray is as expected, and all of them skipped on request."""

from __future__ import annotations

import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import pytest
from ray import exceptions
from ray.air.execution._internal.actor_manager import RayActorManager
from ray.tune.execution import class_cache
from ray.tune.experiment import Trial
from ray.tune.registry import register_trainable

from bloodtune.tuning import ray_patches
from bloodtune.tuning.driver_memory import ResultCleaner
from bloodtune.tuning.ray_patches import PLAIN_RAY, START, TUNE, Patch, _find, actor_of, applied, daemon_settings
from bloodtune.tuning.worker import WarmWorker

ALL = (*START, *TUNE)


@pytest.fixture
def trial(tmp_path: Path) -> Trial:
    register_trainable("worker", WarmWorker)
    trial = Trial("worker", trial_id="a", stub=True)
    for epoch in (1, 2):
        trial.update_last_result({"epoch": epoch, "val_macro_f1": 0.5, "training_iteration": epoch})
    return trial


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PLAIN_RAY, "1")


@pytest.mark.parametrize("patch", ALL, ids=lambda patch: patch.target)
def test_a_patch_fits_this_ray_and_goes_with_its_context(patch: Patch) -> None:
    _, _, before = _find(patch.target)
    assert patch.looks_known(before)
    with applied([patch]):
        assert _find(patch.target)[2] is not before
    assert _find(patch.target)[2] is before
    assert patch.kind in ("speed", "correctness")
    assert patch.gain


@pytest.mark.usefixtures("plain")
def test_plain_ray_is_as_it_was_installed(caplog: pytest.LogCaptureFixture) -> None:
    before = [_find(patch.target)[2] for patch in ALL]
    with applied(ALL), daemon_settings():
        assert [_find(patch.target)[2] for patch in ALL] == before
    assert caplog.text == ""


def changed() -> None:
    """Stand for a part of Ray whose arguments have changed."""


@pytest.mark.parametrize(
    "target", ["ray.tune.experiment:Trial.renamed", "ray.gone:anything", f"{__name__}:changed", f"{__name__}:ALL"]
)
def test_a_part_of_ray_that_has_changed_is_left_alone_and_said(target: str, caplog: pytest.LogCaptureFixture) -> None:
    known = TUNE[2]
    patch = Patch(target, known.kind, "something", known.looks_known, known.replace)
    with caplog.at_level(logging.WARNING, "bloodtune"), applied([patch, known]):
        assert Trial.set_ray_actor.__module__ == ray_patches.__name__, "the others are applied"
    (record,) = caplog.records
    assert record.getMessage() == f"Ray has changed: no patch of {target} (correctness: something)"


def test_a_finished_trial_keeps_no_statistics_of_its_results(trial: Trial) -> None:
    assert "val_macro_f1" in str(trial.get_json_state())
    ResultCleaner().on_trial_complete(3, [trial], trial)
    assert "epoch" not in trial.last_result
    assert trial.metric_analysis == {}
    assert "val_macro_f1" not in str(trial.get_json_state()), "which is kept too, once it is asked for"
    assert trial.checkpoint is None, "what Tune asks for at the end still works"


@pytest.mark.usefixtures("plain")
def test_plain_ray_keeps_the_results_of_finished_trials(trial: Trial) -> None:
    ResultCleaner().on_trial_complete(3, [trial], trial)
    assert trial.last_result["epoch"] == 2


def test_a_search_outlives_a_renamed_statistic(caplog: pytest.LogCaptureFixture) -> None:
    ray_patches._log_once.cache_clear()
    renamed = SimpleNamespace(run_metadata=SimpleNamespace(), config={"checkpoint": b"state"}, evaluated_params={})
    for _ in range(2):
        ray_patches.free_results(renamed)
    assert len(caplog.records) == 1
    assert "results of finished trials stay in memory" in caplog.text
    assert renamed.config == {}


def test_a_worker_that_cannot_be_found_is_said_and_none(caplog: pytest.LogCaptureFixture) -> None:
    ray_patches._log_once.cache_clear()
    assert actor_of(SimpleNamespace(temporary_state=SimpleNamespace(ray_actor="actor"))) == "actor"
    assert actor_of(SimpleNamespace()) is None
    assert "--epoch-limit" in caplog.text


def test_no_worker_is_asked_where_it_is(trial: Trial) -> None:
    actor = mock.MagicMock()
    with applied(TUNE):
        trial.set_ray_actor(actor)
    assert trial.temporary_state.ray_actor is actor
    actor.get_auto_filled_metrics.remote.assert_not_called()


def test_workers_need_no_environment_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(class_cache.DEFAULT_ENV_VARS, "ONE", "1")
    with applied(TUNE):
        assert class_cache.DEFAULT_ENV_VARS == {}
        assert len(class_cache.ENV_VARS_TO_PROPAGATE) == 0
    assert class_cache.DEFAULT_ENV_VARS["ONE"] == "1"


@pytest.mark.parametrize(
    "death",
    [
        exceptions.NodeDiedError("gone"),
        exceptions.ObjectLostError("ab", None, ""),
        exceptions.OutOfMemoryError("killed"),
        exceptions.WorkerCrashedError(),
    ],
    ids=lambda death: type(death).__name__,
)
def test_errors_that_tell_of_a_death_reach_tune_as_the_death_of_an_actor(
    monkeypatch: pytest.MonkeyPatch, death: Exception
) -> None:
    taken: list[Any] = []

    def original(self: Any, tracked_actor_task: Any, exception: Exception) -> None:
        taken.append(exception)

    monkeypatch.setattr(RayActorManager, "_actor_task_failed", original)
    with applied(TUNE):
        RayActorManager._actor_task_failed(None, None, death)  # type: ignore[arg-type]
        RayActorManager._actor_task_failed(None, None, KeyError("other"))  # type: ignore[arg-type]
    assert [type(one) for one in taken] == [exceptions.RayActorError, KeyError]


def test_settings_of_rays_daemons_are_there_only_for_their_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_preload_python_modules", "other")
    with daemon_settings():
        assert ray_patches.os.environ["RAY_preload_python_modules"] == "bloodtune.tuning.worker_preload"
    assert ray_patches.os.environ["RAY_preload_python_modules"] == "other"
