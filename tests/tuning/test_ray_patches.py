"""What is left of a finished trial in the driver's memory."""

from __future__ import annotations

from pathlib import Path
from unittest import mock

import pytest
from ray.tune import registry
from ray.tune.execution import class_cache
from ray.tune.experiment import Trial
from ray.tune.registry import register_trainable

from bloodtune.tuning.ray_patches import Forgetting, fewer_questions
from bloodtune.tuning.worker import WarmWorker


@pytest.fixture
def trial(tmp_path: Path) -> Trial:
    register_trainable("worker", WarmWorker)
    trial = Trial("worker", trial_id="a", stub=True)
    for epoch in (1, 2):
        trial.update_last_result({"epoch": epoch, "val_macro_f1": 0.5, "training_iteration": epoch})
    return trial


def test_a_finished_trial_keeps_no_statistics_of_its_results(trial: Trial) -> None:
    assert "val_macro_f1" in str(trial.get_json_state())
    Forgetting().on_trial_complete(3, [trial], trial)
    assert "epoch" not in trial.last_result
    assert trial.metric_analysis == {}
    assert "val_macro_f1" not in str(trial.get_json_state()), "which is kept too, once it is asked for"
    assert trial.checkpoint is None, "what Tune asks for at the end still works"


def test_the_trainable_is_asked_for_once_and_only_for_the_search(monkeypatch: pytest.MonkeyPatch) -> None:
    register_trainable("worker", WarmWorker)
    asked = []
    original = registry._Registry.get
    monkeypatch.setattr(registry._Registry, "get", lambda self, *key: asked.append(key) or original(self, *key))
    with fewer_questions():
        found = [registry.get_trainable_cls("worker") for _ in range(3)]
    assert found[0] is found[1] is found[2]
    assert len(asked) == 1
    registry.get_trainable_cls("worker")
    assert len(asked) == 2


def test_no_worker_is_asked_where_it_is(trial: Trial) -> None:
    actor = mock.MagicMock()
    with fewer_questions():
        trial.set_ray_actor(actor)
    assert trial.temporary_state.ray_actor is actor
    actor.get_auto_filled_metrics.remote.assert_not_called()


def test_workers_need_no_environment_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")

    def asked() -> dict[str, str]:
        options = class_cache._ActorClassCache().get(WarmWorker)._default_options
        return options["runtime_env"].get("env_vars", {})

    assert asked()["AWS_ACCESS_KEY_ID"] == "key"
    with fewer_questions():
        assert asked() == {}
