"""The request of a search, made from its options and from the run that it resumes; without Ray."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bloodtune.data.dataset import Dataset, load_dataset
from bloodtune.errors import InputError
from bloodtune.run import directory
from bloodtune.run.directory import RunDirectory
from bloodtune.run.records import Proposal
from bloodtune.run.repair import RunRecords
from bloodtune.space.recipe import Recipe
from bloodtune.space.recipe_file import load_recipe
from bloodtune.tuning import driver
from bloodtune.tuning.options import DEFAULT_BUDGET, SearchOptions
from data_fixtures import make_arrays, save
from engine_fixtures import make_configuration
from error_fixtures import refusal
from run_fixtures import make_epochs, make_record, write_recipe

pytestmark = pytest.mark.usefixtures("home")


@pytest.fixture
def cells(tmp_path: Path) -> Path:
    return save(tmp_path / "my cells.npz", make_arrays())


@pytest.fixture
def dataset(cells: Path) -> Dataset:
    return load_dataset(str(cells))


@pytest.fixture
def recipes(tmp_path: Path) -> Callable[[str], Recipe]:
    """Return a function from the name of a sampler to the tiny recipe, which has two configurations."""
    return lambda sampler: load_recipe(str(write_recipe(tmp_path, sampler)))


# The flags of a resumed search


def test_the_flags_that_say_where_to_run_are_given_again() -> None:
    options = SearchOptions(workers=2, gpus_per_trial=0.25, storage="s3://bucket/runs", track=("mlflow", "wandb"))
    assert driver._place(options) == (
        *("--workers", "2", "--gpus-per-trial", "0.25", "--storage", "s3://bucket/runs"),
        *("--track", "mlflow", "--track", "wandb"),
    )


def test_a_share_of_no_gpu_is_given_again_too() -> None:
    assert driver._place(SearchOptions(gpus_per_trial=0.0)) == ("--gpus-per-trial", "0.0")


def test_limits_of_time_per_trial_are_given_again_in_seconds() -> None:
    expected = ("--epoch-limit", "7200", "--checkpoint-every", "0.5")
    assert driver._place(SearchOptions(epoch_limit=7200.0, checkpoint_every=0.5)) == expected


def test_the_flags_that_say_what_to_search_are_not_given_again() -> None:
    options = SearchOptions(recipe="cnn", budget=3, seed=4, max_epochs=5, name="night", profile=True, out="there")
    assert driver._place(options) == ()


# The budget


@pytest.mark.parametrize(
    ("asked", "before", "budget"),
    [
        (None, {}, DEFAULT_BUDGET),
        (5, {}, 5),
        (None, {"budget": 12}, 12),
        (20, {"budget": 12}, 20),
        (4, {"budget": 12}, 4),
    ],
)
def test_the_budget_is_the_one_asked_for_or_that_of_the_run(
    recipes: Callable[[str], Recipe], asked: int | None, before: dict[str, Any], budget: int
) -> None:
    assert driver._budget(asked, before, recipes("tpe")) == budget


def test_a_recipe_that_samples_nothing_lowers_the_budget_and_says_so_if_one_was_asked_for(
    recipes: Callable[[str], Recipe], capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = recipes("enqueued")
    assert (driver._budget(2, {}, recipe), driver._budget(1, {}, recipe), driver._budget(None, {}, recipe)) == (2, 1, 2)
    assert capsys.readouterr().err == ""
    assert driver._budget(9, {}, recipe) == 2
    assert capsys.readouterr().err == "--budget 9: this recipe has only 2 configurations; all are tried\n"


@pytest.mark.parametrize("finished", [0, 2])
def test_a_budget_may_not_be_below_the_trials_that_are_finished(tmp_path: Path, finished: int) -> None:
    run = RunDirectory.create(tmp_path / "runs", "night", "")
    for trial in range(finished):
        run.append_epochs(trial, make_epochs(3))
        run.append_trial(make_record(trial))
    records = driver._examine(SimpleNamespace(resumed=run, budget=2))  # type: ignore[arg-type]
    assert isinstance(records, RunRecords) and len(records.trials) == finished
    if finished:
        message = refusal(lambda: driver._examine(SimpleNamespace(resumed=run, budget=1)))  # type: ignore[arg-type]
        assert message == "--budget 1: the run has 2 finished trials already"


def test_a_budget_may_not_be_below_the_trials_that_have_started(tmp_path: Path) -> None:
    run = RunDirectory.create(tmp_path / "runs", "night", "")
    for trial in range(4):
        run.append_proposal(Proposal(trial, "", make_configuration()))
    assert driver._examine(SimpleNamespace(resumed=run, budget=4)) is not None  # type: ignore[arg-type]
    message = refusal(lambda: driver._examine(SimpleNamespace(resumed=run, budget=3)))  # type: ignore[arg-type]
    assert message == "--budget 3: the run has started 4 trials already"


def test_a_new_search_has_no_records_to_examine() -> None:
    assert driver._examine(SimpleNamespace(resumed=None, budget=1)) is None  # type: ignore[arg-type]


# The name


class Clock(datetime):
    """A clock that stands still."""

    @classmethod
    def now(cls, tz: Any = None) -> Clock:
        return cls(2026, 1, 2, 3, 4, 5)


def test_a_run_without_a_name_is_called_by_date_time_and_data(
    tmp_path: Path, dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(driver, "datetime", Clock)
    assert driver._name(None, tmp_path, dataset) == "20260102-030405-my-cells"


def test_a_second_run_of_the_same_second_has_the_number_of_its_process(
    tmp_path: Path, dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(driver, "datetime", Clock)
    (tmp_path / "20260102-030405-my-cells").mkdir()
    assert driver._name(None, tmp_path, dataset) == f"20260102-030405-my-cells-{os.getpid()}"


@pytest.mark.parametrize(
    ("asked", "synthetic", "name"),
    [
        ("night", False, "night"),
        ("night", True, "night-synthetic"),
        ("synthetic_night", True, "synthetic_night"),
        ("", True, "-synthetic"),  # check_name refuses it
    ],
)
def test_a_name_asked_for_says_that_the_data_are_synthetic(
    tmp_path: Path, dataset: Dataset, asked: str, synthetic: bool, name: str
) -> None:
    assert driver._name(asked, tmp_path, dataclasses.replace(dataset, synthetic=synthetic)) == name


# Networks of the user's own


def test_families_of_our_own_send_no_sources(recipes: Callable[[str], Recipe], dataset: Dataset) -> None:
    assert driver._check_own_families(recipes("tpe"), dataset) == []


def test_a_family_of_the_users_is_tried_on_the_data_and_sent(
    recipes: Callable[[str], Recipe], dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "their_nets.py").write_text(
        "from torch import nn\n"
        "def linear(channels, classes, size):\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(channels * size * size, classes))\n"
        "def wrong(channels, classes, size):\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(channels * size * size, classes + 1))\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    recipe = recipes("tpe")
    family, *_ = recipe.parameters

    def with_family(name: str) -> Recipe:
        chosen = dataclasses.replace(family, choices=(name,))
        shapes = ("hidden_layers", "hidden_size", "width")
        rest = [parameter for parameter in recipe.parameters[1:] if parameter.field not in shapes]
        return dataclasses.replace(recipe, parameters=(chosen, *rest))

    sent = driver._check_own_families(with_family("their_nets:linear"), dataset)
    assert [Path(source).name for source in sent] == ["their_nets.py"]
    message = refusal(lambda: driver._check_own_families(with_family("their_nets:wrong"), dataset))
    assert message.startswith("family = 'their_nets:wrong': its network ")
    assert message.endswith("expected (2, 3)"), "two images, three classes"
    sys.modules.pop("their_nets", None)


# From Python


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[SearchOptions]:
    """Return the options that ``run_search`` hands on; nothing is searched."""
    asked: list[SearchOptions] = []
    run = RunDirectory.create(tmp_path / "runs", "night", "")
    monkeypatch.setattr(driver, "search", lambda options: asked.append(options) or (0, run))
    return asked


def test_run_search_without_arguments_has_the_default_options(asked: list[SearchOptions]) -> None:
    assert driver.run_search().name == "night"
    assert asked == [SearchOptions()]


def test_run_search_takes_paths_and_a_single_tracker(asked: list[SearchOptions]) -> None:
    driver.run_search(data=Path("cells.npz"), out=Path("there"), track="mlflow")
    driver.run_search(track=["wandb", "mlflow"])
    assert asked[0] == SearchOptions(data="cells.npz", out="there", track=("mlflow",))
    assert asked[1].track == ("wandb", "mlflow")


def test_run_search_names_the_argument_that_cannot_be_used(asked: list[SearchOptions]) -> None:
    assert refusal(lambda: driver.run_search(budget=0)) == "budget = 0: allowed are whole numbers from 1"
    assert re.match("track = .*neptune", refusal(lambda: driver.run_search(track="neptune")))
    assert asked == []


# A run that cannot be started


@pytest.mark.parametrize(
    ("broken", "error", "reason"),
    [
        (
            "locked",
            InputError("run night cannot be locked: Read-only file system"),
            "run night cannot be locked: Read-only file system",
        ),
        ("write_splits", OSError(28, "No space left on device"), ".*runs cannot be written: No space left on device"),
    ],
)
def test_no_folder_remains_of_a_run_that_cannot_be_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str, error: Exception, reason: str
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(driver if broken == "write_splits" else directory, broken, fail)
    options, rows = SimpleNamespace(out=str(tmp_path / "runs")), SimpleNamespace(rows=[1])
    request: Any = SimpleNamespace(options=options, name="night", recipe=SimpleNamespace(text=""), dataset=rows)
    with contextlib.ExitStack() as held, pytest.raises(InputError, match=f"^{reason}$"):
        driver._create_run(request, {}, held)
    assert os.listdir(tmp_path / "runs") == []
