"""The plan of a search: trials, workers and devices for the given options and machine."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from bloodtune.data.dataset import load_dataset
from bloodtune.data.preparation import Preparation
from bloodtune.errors import InputError
from bloodtune.space.recipe_file import load_recipe
from bloodtune.tuning.plan import Plan, choose_gpu_share, choose_workers, fitting_trials
from data_fixtures import make_arrays, save


@pytest.mark.parametrize(
    ("resources", "share", "fitting"),
    [
        ({"CPU": 2.0}, 0.0, 2),
        ({"CPU": 16.0, "GPU": 1.0}, 1.0, 1),
        ({"CPU": 16.0, "GPU": 1.0}, 0.25, 4),
        ({"CPU": 16.0, "GPU": 2.0}, 0.4, 4),
        ({"CPU": 16.0, "GPU": 8.0}, 1.0, 8),
        ({"CPU": 2.0, "GPU": 1.0}, 0.1, 2),
        ({"CPU": 1.0, "GPU": 1.0}, 0.5, 1),
        ({}, 0.0, 1),
    ],
)
def test_trials_at_a_time_are_what_cpus_and_shares_of_gpus_allow(
    resources: dict[str, float], share: float, fitting: int
) -> None:
    assert fitting_trials(resources, share) == fitting


@pytest.mark.parametrize(("asked", "is_local", "workers"), [(None, True, 2), (1, True, 1), (8, True, 2), (8, False, 8)])
def test_more_workers_than_fit_are_for_clusters_that_grow(asked: int | None, is_local: bool, workers: int) -> None:
    assert choose_workers(asked, {"CPU": 2.0}, 0.0, is_local=is_local) == workers


def test_a_gpu_share_that_this_machine_has_not_is_refused() -> None:
    with pytest.raises(InputError, match="this machine has 0 GPUs"):
        choose_gpu_share(0.5, {"CPU": 2.0}, is_local=True)
    assert choose_gpu_share(0.5, {"CPU": 2.0}, is_local=False) == 0.5
    assert choose_gpu_share(None, {"CPU": 2.0}, is_local=True) == 0.0
    assert choose_gpu_share(None, {"CPU": 2.0, "GPU": 1.0}, is_local=True) == 1.0


def test_what_is_done_otherwise_than_asked_is_said(tmp_path: Path) -> None:
    dataset = load_dataset(str(save(tmp_path / "small.npz", make_arrays())))
    recipe = load_recipe("default")
    plan = Plan(recipe, 4, seed=0, dataset=dataset, workers=2, gpus_per_trial=0, time_budget=None)
    workers, batches = plan.corrections(8)
    assert workers == "--workers 8: only 2 trials at a time fit here, so 2 run"
    assert batches == (
        "the recipe has batches of up to 256 images, but there are 12 training images: batches of 12 are used"
    )
    assert plan.corrections(2) == plan.corrections(None) == [batches]
    folded = load_dataset(dataset.source, Preparation(folds=8))
    assert "but there are 21 training images" in dataclasses.replace(plan, dataset=folded).corrections(None)[0]
    small = [dataclasses.replace(entry.configuration, batch_size=12) for entry in recipe.enqueued]
    enqueued = [dataclasses.replace(e, configuration=c) for e, c in zip(recipe.enqueued, small, strict=True)]
    only = dataclasses.replace(recipe, sampler="enqueued", enqueued=tuple(enqueued))
    assert dataclasses.replace(plan, recipe=only).corrections(None) == []


@pytest.mark.parametrize("folds", [None, 4])
def test_the_plan_says_what_folds_cost(tmp_path: Path, folds: int | None) -> None:
    dataset = load_dataset(str(save(tmp_path / "small.npz", make_arrays())), Preparation(folds=folds))
    plan = Plan(load_recipe("smoke"), 4, seed=0, dataset=dataset, workers=2, gpus_per_trial=0, time_budget=None)
    cost = "each epoch trains 4 networks on 72 images, 6.0 times the training split"
    assert (cost in str(plan)) == (folds is not None)
    assert ("the validation split has 12 images" in str(plan)) == (folds is None)
    assert ("the 4 folds have 24 images" in str(plan)) == (folds is not None)
