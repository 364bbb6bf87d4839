"""Options of a search: checked, and the same on the command line and from Python."""

from __future__ import annotations

import dataclasses
import inspect
import typing
from typing import Any

import pytest

from bloodtune.errors import InputError
from bloodtune.tuning.driver import run_search
from bloodtune.tuning.flags import read_options, search_parser
from bloodtune.tuning.options import SearchOptions

FIELDS = {field.name: field for field in dataclasses.fields(SearchOptions)}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"budget": 0}, "budget = 0: allowed are whole numbers from 1"),
        ({"budget": 2.5}, "budget = 2.5: allowed are whole numbers from 1"),
        ({"budget": True}, "budget = True: allowed are whole numbers from 1"),
        ({"seed": -1}, "seed = -1: allowed are whole numbers from 0"),
        ({"workers": "two"}, "workers = 'two': allowed are whole numbers from 1"),
        ({"time_budget": 0}, "time_budget = 0: allowed are seconds above 0"),
        ({"time_budget": "30m"}, "time_budget = '30m': allowed are seconds above 0"),
        ({"epoch_limit": None}, "epoch_limit = None: allowed are seconds above 0"),
        ({"gpus_per_trial": 1.5}, "gpus_per_trial = 1.5: allowed are numbers from 0 to 1"),
        ({"gpus_per_trial": float("nan")}, "gpus_per_trial = nan: allowed are numbers from 0 to 1"),
        ({"precision": "int8"}, "precision = 'int8': allowed are auto, float32, tf32, bfloat16, float16"),
        ({"track": ("neptune",)}, "track = ('neptune',): allowed are mlflow, wandb"),
        ({"recipe": 3}, "recipe = 3: allowed are text"),
        ({"folds": 0}, "folds = 0: allowed are whole numbers from 1"),
        ({"profile": 1}, "profile = 1: allowed are True and False"),
    ],
)
def test_a_value_that_is_not_allowed_is_refused_by_name(given: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as caught:
        SearchOptions(**given)
    assert str(caught.value) == message


def test_run_search_takes_every_option_with_its_type_and_default() -> None:
    parameters = inspect.signature(run_search).parameters
    assert {name: parameter.default for name, parameter in parameters.items()} == {
        name: field.default for name, field in FIELDS.items()
    }
    theirs, ours = typing.get_type_hints(run_search), typing.get_type_hints(SearchOptions)
    for name in FIELDS.keys() - {"data", "out", "track", "without"}:  # a path, a single tracker or class are taken too
        assert theirs[name] == ours[name], name


def test_the_command_line_without_flags_gives_the_defaults() -> None:
    assert read_options(search_parser().parse_args([])) == SearchOptions()


def test_every_option_has_a_flag_that_reads_its_text() -> None:
    given = {
        **{"recipe": "mlnn", "budget": "3", "data": "cells.npz", "warm-start": "a", "max-epochs": "5"},
        **{"time-budget": "30m", "epoch-limit": "90s", "seed": "4", "workers": "2", "gpus-per-trial": "0.5"},
        **{"precision": "float32", "address": "auto", "name": "b", "out": "there", "storage": "copy"},
        **{"resume": "c", "checkpoint-every": "5s", "size": "64", "crop": "300", "without": "blast", "folds": "5"},
    }
    words = [word for flag, text in given.items() for word in (f"--{flag}", text)]
    switches = {"profile", "skip-unreadable", "drop-copies"}
    words += ["--track", "mlflow", "--track", "wandb", *(f"--{name}" for name in switches)]
    options = read_options(search_parser().parse_args(words))
    expected: dict[str, Any] = {
        **{"recipe": "mlnn", "budget": 3, "data": "cells.npz", "warm_start": "a", "max_epochs": 5},
        **{"time_budget": 1800.0, "epoch_limit": 90.0, "seed": 4, "workers": 2, "gpus_per_trial": 0.5},
        **{"precision": "float32", "address": "auto", "name": "b", "out": "there", "storage": "copy"},
        **{"resume": "c", "checkpoint_every": 5.0, "track": ("mlflow", "wandb"), "profile": True},
        **{"size": 64, "crop": 300, "without": ("blast",), "skip_unreadable": True, "drop_copies": True, "folds": 5},
    }
    assert options == SearchOptions(**expected)
    assert set(given) | switches | {"track"} == {name.replace("_", "-") for name in FIELDS}


def test_the_help_has_the_text_of_every_option() -> None:
    text = " ".join(search_parser().format_help().split())
    for name, field in FIELDS.items():
        assert f"--{name.replace('_', '-')}" in text
        words = field.metadata["help"].split()
        assert all(word in text for word in words)
