"""All trackers of a search: which ones are started, and that none of them can harm the search."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from bloodtune.monitoring import trackers
from bloodtune.monitoring.trackers import Trackers, check_trackers
from bloodtune.run.directory import RunDirectory
from bloodtune.run.records import Proposal
from engine_fixtures import make_configuration
from error_fixtures import refusal
from run_fixtures import make_epochs, make_record

PROPOSAL = Proposal(0, "", make_configuration("cnn"))


class Recorder:
    """Keeps what it is told; fails at the second epoch of ``failing``."""

    def __init__(self, run: RunDirectory, failing: bool = False) -> None:
        self.told: list[Any] = []
        self.failing = failing

    def epochs(self, proposal: Proposal, epochs: Any) -> None:
        self.told += [epoch.epoch for epoch in epochs]
        if self.failing and 2 in self.told:
            raise ConnectionError("the server\nis gone")

    def finished(self, record: Any) -> None:
        self.told.append(record.state)

    def close(self) -> None:
        self.told.append("closed")


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    return RunDirectory.create(tmp_path, "night", "")


def test_trackers_are_told_everything_in_order(run: RunDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    recorder, said = Recorder(run), []
    monkeypatch.setitem(trackers.TRACKERS, "mlflow", lambda _: recorder)
    followed = Trackers(run, ["mlflow"], said.append)
    followed.epochs(PROPOSAL, make_epochs(2))
    followed.epochs(PROPOSAL, make_epochs(3)[2:])
    followed.finished(make_record(0))
    followed.close()
    assert recorder.told == [1, 2, 3, "COMPLETE", "closed"]
    assert said == []
    assert list((run.path / "tensorboard" / "trial-0000").iterdir())


def test_one_that_fails_is_left_out_and_said_once(run: RunDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    failing, whole, said = Recorder(run, failing=True), Recorder(run), []
    monkeypatch.setitem(trackers.TRACKERS, "mlflow", lambda _: failing)
    monkeypatch.setitem(trackers.TRACKERS, "wandb", lambda _: whole)
    followed = Trackers(run, ["mlflow", "wandb"], said.append)
    followed.epochs(PROPOSAL, make_epochs(3))
    followed.finished(make_record(0))
    followed.close()
    assert said == ["tracking with mlflow ended (ConnectionError: the server is gone); the search is not affected"]
    assert failing.told == [1, 2, 3] and whole.told == [1, 2, 3, "COMPLETE", "closed"]


def test_one_that_cannot_begin_is_said(run: RunDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: RunDirectory) -> Any:
        raise PermissionError("no")

    said: list[str] = []
    monkeypatch.setitem(trackers.TRACKERS, "wandb", refuse)
    Trackers(run, ["wandb"], said.append).close()
    assert said == ["tracking with wandb ended (PermissionError: no); the search is not affected"]


def test_a_slow_one_delays_neither_trials_nor_the_end_for_ever(
    run: RunDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    released, said = threading.Event(), []

    class Slow(Recorder):
        def epochs(self, proposal: Proposal, epochs: Any) -> None:
            released.wait(30)

    monkeypatch.setitem(trackers.TRACKERS, "wandb", Slow)
    monkeypatch.setattr(trackers, "_CLOSING_SECONDS", 2.0)
    followed = Trackers(run, ["wandb"], said.append)
    followed.epochs(PROPOSAL, make_epochs(3))
    followed.close()
    released.set()
    late = "some events were not accepted within 2 s; the run directory has all results"
    assert said == [f"tracking with wandb: {late}"]
    assert list((run.path / "tensorboard" / "trial-0000").iterdir()), "the others are not kept waiting"


def test_a_package_that_is_missing_is_named_before_the_search_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trackers.importlib.util, "find_spec", lambda _: None)
    assert "--track wandb: package wandb is not installed; run pip" in refusal(lambda: check_trackers(["wandb"]))
    check_trackers([])


def test_wandb_without_a_key_is_refused_before_it_asks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trackers.importlib.util, "find_spec", lambda _: True)
    for name in ("WANDB_MODE", "WANDB_API_KEY", "WANDB_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    assert "--track wandb: no API key found" in refusal(lambda: check_trackers(["wandb"]))
    (tmp_path / "netrc").write_text("machine api.wandb.ai login user password secret\n")
    check_trackers(["wandb"])
    monkeypatch.setenv("NETRC", str(tmp_path / "none"))
    monkeypatch.setenv("WANDB_MODE", "offline")
    check_trackers(["wandb"])


@pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SADeprecationWarning")  # mlflow's own
def test_mlflow_has_a_run_for_the_search_and_one_for_each_trial(
    run: RunDirectory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    monkeypatch.chdir(tmp_path)
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path}/mlflow.db")
    for trial in (0, 1):  # the second one after a resume
        said: list[str] = []
        followed = Trackers(run, ["mlflow"], said.append)
        followed.epochs(Proposal(1, "", PROPOSAL.configuration), make_epochs(3)[2 * trial : 2 * trial + 2])
        if trial == 0:
            followed.epochs(Proposal(0, "", PROPOSAL.configuration), make_epochs(3))
            followed.finished(make_record(0))
        else:
            followed.finished(make_record(1))
        followed.close()
        assert said == []
    client = mlflow.MlflowClient()
    experiment = client.get_experiment_by_name("bloodtune").experiment_id
    runs = {found.data.tags["bloodtune.trial"]: found for found in client.search_runs([experiment])}
    assert set(runs) == {"all", "0", "1"} and len(client.search_runs([experiment])) == 3
    assert {name: found.info.status for name, found in runs.items()} == dict.fromkeys(runs, "FINISHED")
    assert len(client.get_metric_history(runs["1"].info.run_id, "val_loss")) == 3, "it went on where it was"
    assert runs["1"].data.tags["mlflow.parentRunId"] == runs["all"].info.run_id
    assert runs["0"].data.params["family"] == "cnn" and runs["0"].data.tags["state"] == "COMPLETE"
    history = client.get_metric_history(runs["0"].info.run_id, "val_macro_f1")
    assert [(metric.step, metric.value) for metric in history] == [(e.epoch, e.val_macro_f1) for e in make_epochs(3)]


def test_wandb_has_a_run_for_each_trial(run: RunDirectory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    said: list[str] = []
    followed = Trackers(run, ["wandb"], said.append)
    for trial in (0, 1):
        followed.epochs(Proposal(trial, "", PROPOSAL.configuration), make_epochs(3))
        followed.finished(make_record(trial))
    followed.close()
    assert said == []
    kept = sorted(file.name for file in tmp_path.glob("wandb/offline-run-*/run-*.wandb"))
    assert kept == ["run-night-0.wandb", "run-night-1.wandb"]
