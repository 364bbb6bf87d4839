"""The calls of the W&B tracker to a stand-in for the package, and the places where it looks for a key."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from bloodtune.monitoring.wandb_tracker import WandbTracker, has_wandb_key
from bloodtune.run.directory import RunDirectory
from bloodtune.run.records import COMPLETE, FAILED, Proposal
from engine_fixtures import make_configuration
from run_fixtures import make_epochs, make_record


class StandInRun:
    """Stands in for a run of Weights & Biases and keeps what it is told."""

    def __init__(self, **options: Any) -> None:
        self.options = options
        self.logged: list[tuple[int, dict[str, Any]]] = []
        self.summary: dict[str, Any] = {}
        self.ends: list[int] = []

    def log(self, values: dict[str, Any], step: int) -> None:
        self.logged.append((step, values))

    def finish(self, exit_code: int = 0) -> None:
        self.ends.append(exit_code)


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[StandInRun]:
    """Put a stand-in for the package ``wandb`` in the place of the real one; return the runs that it starts."""
    runs: list[StandInRun] = []

    def init(**options: Any) -> StandInRun:
        runs.append(StandInRun(**options))
        return runs[-1]

    wandb = ModuleType("wandb")
    wandb.init, wandb.Settings = init, dict  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "wandb", wandb)
    return runs


@pytest.fixture
def tracker(tmp_path: Path) -> WandbTracker:
    return WandbTracker(RunDirectory.create(tmp_path, "night", ""))


def proposal(trial: int, label: str = "") -> Proposal:
    return Proposal(trial, label, make_configuration("cnn"))


def test_a_trial_starts_its_run_with_its_first_epochs_alone(tracker: WandbTracker, runs: list[StandInRun]) -> None:
    assert runs == []
    for count in (1, 2, 3):
        tracker.epochs(proposal(4, "CNN config 1"), make_epochs(count)[-1:])
    (run,) = runs
    assert {name: run.options[name] for name in ("project", "group", "name", "id")} == {
        "project": "bloodtune",
        "group": "night",
        "name": "trial 4",
        "id": "night-4",
    }
    assert run.options["config"] == make_configuration("cnn").to_mapping() | {"label": "CNN config 1"}


def test_a_run_stays_silent_and_goes_on_after_an_interruption(tracker: WandbTracker, runs: list[StandInRun]) -> None:
    tracker.epochs(proposal(0), make_epochs(1))
    options = runs[0].options
    assert (options["resume"], options["reinit"]) == ("allow", "create_new")
    assert (options["settings"]["silent"], options["settings"]["console"]) == (True, "off")


def test_every_epoch_is_logged_at_its_step(tracker: WandbTracker, runs: list[StandInRun]) -> None:
    epochs = make_epochs(3)
    tracker.epochs(proposal(0), epochs[:2])
    tracker.epochs(proposal(0), epochs[2:])
    assert [step for step, _ in runs[0].logged] == [1, 2, 3]
    assert runs[0].logged[2][1] == {
        "epoch": 3,
        "train_loss": epochs[2].train_loss,
        "val_loss": epochs[2].val_loss,
        "val_accuracy": epochs[2].val_accuracy,
        "val_macro_f1": epochs[2].val_macro_f1,
        "seconds": epochs[2].seconds,
    }


@pytest.mark.parametrize(("state", "code"), [(COMPLETE, 0), (FAILED, 1)])
def test_a_finished_trial_ends_its_run_once(
    tracker: WandbTracker, runs: list[StandInRun], state: str, code: int
) -> None:
    tracker.epochs(proposal(0), make_epochs(1))
    tracker.finished(make_record(0, state=state))
    tracker.close()
    assert (runs[0].summary, runs[0].ends) == ({"state": state}, [code])


def test_a_trial_without_an_epoch_has_no_run(tracker: WandbTracker, runs: list[StandInRun]) -> None:
    tracker.finished(make_record(0, state=FAILED))
    assert runs == []


def test_the_end_of_the_search_ends_the_runs_of_running_trials(tracker: WandbTracker, runs: list[StandInRun]) -> None:
    for trial in (0, 1):
        tracker.epochs(proposal(trial), make_epochs(1))
    tracker.finished(make_record(0))
    tracker.close()
    assert [run.ends for run in runs] == [[0], [0]]
    assert runs[1].summary == {}, "it has no state yet"


# The key


@pytest.fixture
def netrc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the place of the file with passwords; nothing else gives a key."""
    for name in ("WANDB_MODE", "WANDB_API_KEY", "WANDB_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    return tmp_path / "netrc"


@pytest.mark.usefixtures("netrc")
@pytest.mark.parametrize(
    ("name", "value", "works"),
    [
        ("WANDB_MODE", "offline", True),
        ("WANDB_MODE", "disabled", True),
        ("WANDB_MODE", "dryrun", True),
        ("WANDB_MODE", "online", False),
        ("WANDB_API_KEY", "0123", True),
        ("WANDB_API_KEY", "", False),
    ],
)
def test_a_mode_without_a_server_or_a_key_in_the_environment_is_enough(
    name: str, value: str, works: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    assert has_wandb_key() is works


def test_the_key_is_that_of_the_server(netrc: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    netrc.write_text("machine wandb.lab.example login user password secret\n")
    assert not has_wandb_key()
    monkeypatch.setenv("WANDB_BASE_URL", "https://wandb.lab.example:8080/")
    assert has_wandb_key()


@pytest.mark.parametrize(
    "content", [b"machine", b"no such word\n", b"macdef", b"machine a login m\xfcller password x\n"]
)
def test_a_damaged_file_of_passwords_has_no_key(netrc: Path, content: bytes) -> None:
    netrc.write_bytes(content)
    assert not has_wandb_key()
