"""The requests of the MLflow tracker, sent to a stand-in for the server."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import NamedTuple

import pytest

from bloodtune.monitoring.mlflow_tracker import MlflowTracker
from bloodtune.run.directory import RunDirectory
from bloodtune.run.records import FAILED, PRUNED, Proposal
from engine_fixtures import make_configuration
from run_fixtures import make_epochs, make_record


class Metric(NamedTuple):
    key: str
    value: float
    timestamp: int
    step: int


class Param(NamedTuple):
    key: str
    value: str


class Server:
    """Stands in for ``mlflow.MlflowClient``; all clients of a test share one."""

    def __init__(self) -> None:
        self.experiments: dict[str, str] = {}
        self.runs: list[SimpleNamespace] = []

    def get_experiment_by_name(self, name: str) -> SimpleNamespace | None:
        return SimpleNamespace(experiment_id=self.experiments[name]) if name in self.experiments else None

    def create_experiment(self, name: str) -> str:
        assert name not in self.experiments
        self.experiments[name] = f"experiment {len(self.experiments)}"
        return self.experiments[name]

    def create_run(self, experiment: str, tags: dict[str, str]) -> SimpleNamespace:
        assert experiment in self.experiments.values()
        info = SimpleNamespace(run_id=f"run {len(self.runs)}", start_time=1000 + len(self.runs), status="RUNNING")
        run = SimpleNamespace(info=info, tags=dict(tags), metrics=[], params=[])
        self.runs.append(run)
        return run

    def search_runs(self, experiments: list[str], filters: str) -> list[SimpleNamespace]:
        assert set(experiments) <= set(self.experiments.values())
        conditions = [re.fullmatch(r"tags\.`([\w.]+)` = '([^']*)'", part) for part in filters.split(" and ")]
        wanted = {match[1]: match[2] for match in conditions if match}
        assert len(wanted) == len(conditions), "the filter can be read"
        return [run for run in self.runs if wanted.items() <= run.tags.items()]

    def _run(self, run_id: str) -> SimpleNamespace:
        return next(run for run in self.runs if run.info.run_id == run_id)

    def log_batch(self, run_id: str, metrics: list[Metric], params: list[Param]) -> None:
        self._run(run_id).metrics += metrics
        self._run(run_id).params += params

    def set_tag(self, run_id: str, key: str, value: str) -> None:
        self._run(run_id).tags[key] = value

    def update_run(self, run_id: str, status: str) -> None:
        self._run(run_id).info.status = status

    def set_terminated(self, run_id: str, status: str = "FINISHED") -> None:
        self._run(run_id).info.status = status

    def of(self, trial: str) -> SimpleNamespace:
        """Return the one run of a trial, or of the search (``all``)."""
        (run,) = [run for run in self.runs if run.tags["bloodtune.trial"] == trial]
        return run


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Server:
    """Put a stand-in for the package ``mlflow`` in the place of the real one."""
    server = Server()
    mlflow, entities = ModuleType("mlflow"), ModuleType("mlflow.entities")
    mlflow.MlflowClient, mlflow.entities = lambda: server, entities  # type: ignore[attr-defined]
    entities.Metric, entities.Param = Metric, Param  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "mlflow", mlflow)
    monkeypatch.setitem(sys.modules, "mlflow.entities", entities)
    return server


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    return RunDirectory.create(tmp_path, "night", "")


def proposal(trial: int, label: str = "") -> Proposal:
    return Proposal(trial, label, make_configuration("cnn"))


def test_a_search_is_one_run_with_its_name(server: Server, run: RunDirectory) -> None:
    MlflowTracker(run)
    assert list(server.experiments) == ["bloodtune"]
    (search,) = server.runs
    assert search.tags == {"mlflow.runName": "night", "bloodtune.run": "night", "bloodtune.trial": "all"}


def test_two_searches_share_the_experiment_and_no_run(server: Server, run: RunDirectory, tmp_path: Path) -> None:
    MlflowTracker(run)
    MlflowTracker(RunDirectory.create(tmp_path, "day", ""))
    assert list(server.experiments) == ["bloodtune"]
    assert [search.tags["bloodtune.run"] for search in server.runs] == ["night", "day"]


def test_a_trial_is_a_run_below_that_of_its_search(server: Server, run: RunDirectory) -> None:
    MlflowTracker(run).epochs(proposal(3), make_epochs(1))
    assert server.of("3").tags == {
        "mlflow.parentRunId": server.of("all").info.run_id,
        "mlflow.runName": "trial 3",
        "bloodtune.trial": "3",
    }


def test_the_first_epochs_bring_the_configuration_and_the_label(server: Server, run: RunDirectory) -> None:
    tracker = MlflowTracker(run)
    for count in (1, 2):
        tracker.epochs(proposal(0, "CNN config 1"), make_epochs(count)[-1:])
        tracker.epochs(proposal(1), make_epochs(count)[-1:])
    given = {name: str(value) for name, value in make_configuration("cnn").to_mapping().items()}
    assert server.of("0").params == [*given.items(), ("label", "CNN config 1")]
    assert server.of("1").params == list(given.items()), "an empty label is left out"


def test_every_number_of_an_epoch_is_a_metric_at_its_step(server: Server, run: RunDirectory) -> None:
    tracker, epochs = MlflowTracker(run), make_epochs(3)
    tracker.epochs(proposal(0), epochs[:2])
    tracker.epochs(proposal(0), epochs[2:])
    found = {(metric.key, metric.step): metric.value for metric in server.of("0").metrics}
    names = ("train_loss", "val_loss", "val_accuracy", "val_macro_f1", "seconds")
    assert found == {(name, epoch.epoch): getattr(epoch, name) for name in names for epoch in epochs}
    assert {metric.timestamp for metric in server.of("0").metrics} == {server.of("0").info.start_time}


@pytest.mark.parametrize(("state", "status"), [(PRUNED, "FINISHED"), (FAILED, "FAILED")])
def test_a_finished_trial_ends_its_run_with_its_state(
    server: Server, run: RunDirectory, state: str, status: str
) -> None:
    tracker = MlflowTracker(run)
    tracker.epochs(proposal(0), make_epochs(1))
    tracker.finished(make_record(0, state=state))
    assert (server.of("0").tags["state"], server.of("0").info.status) == (state, status)
    tracker.close()
    assert server.of("0").info.status == status


def test_a_trial_without_an_epoch_has_no_run(server: Server, run: RunDirectory) -> None:
    MlflowTracker(run).finished(make_record(5, state=FAILED))
    assert len(server.runs) == 1


def test_the_end_of_the_search_ends_its_run_and_kills_those_of_running_trials(
    server: Server, run: RunDirectory
) -> None:
    tracker = MlflowTracker(run)
    tracker.epochs(proposal(0), make_epochs(1))
    tracker.close()
    assert (server.of("all").info.status, server.of("0").info.status) == ("FINISHED", "KILLED")


def test_a_resumed_search_continues_its_run_and_those_of_interrupted_trials(server: Server, run: RunDirectory) -> None:
    first = MlflowTracker(run)
    first.epochs(proposal(0), make_epochs(1))
    first.close()
    MlflowTracker(RunDirectory.open(run.path)).epochs(proposal(0), make_epochs(2)[1:])
    assert len(server.runs) == 2
    assert (server.of("all").info.status, server.of("0").info.status) == ("RUNNING", "RUNNING")
    assert {metric.step for metric in server.of("0").metrics} == {1, 2}
    assert len(server.of("0").params) == len(make_configuration("cnn").to_mapping()), "they are logged once"


def test_a_trial_of_the_same_number_in_another_search_is_another_run(
    server: Server, run: RunDirectory, tmp_path: Path
) -> None:
    MlflowTracker(run).epochs(proposal(0), make_epochs(1))
    MlflowTracker(RunDirectory.create(tmp_path, "day", "")).epochs(proposal(0), make_epochs(1))
    parents = [trial.tags["mlflow.parentRunId"] for trial in server.runs if trial.tags["bloodtune.trial"] == "0"]
    assert len(set(parents)) == 2
