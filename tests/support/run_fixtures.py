"""A tiny data file, a tiny recipe, and a searcher driven without Ray."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bloodtune.run.checkpoints import Checkpoint
from bloodtune.run.directory import RunDirectory
from bloodtune.run.records import COMPLETE, EpochRecord, TrialRecord
from bloodtune.run.repair import repair
from bloodtune.space.recipe import Recipe
from bloodtune.space.recipe_file import load_recipe
from bloodtune.tuning.recorder import RunRecorder
from bloodtune.tuning.sampler import StudySampler
from bloodtune.tuning.trial_queue import Recorder, TrialQueue
from bloodtune.tuning.tune_searcher import QueueSearcher
from engine_fixtures import SGD, make_configuration

SIZE = 12
COUNTS = {"train": 96, "val": 36, "test": 36}

# Three epochs, a rung at the first one, no published configuration but two, small networks.
RECIPE = """
description = "for tests"

[sampler]
name = "{sampler}"
startup_trials = 2

[asha]
max_epochs = 3
first_rung = 1
reduction_factor = 3

[space.family]
choices = ["mlnn", "cnn"]
source = "test"

[space.hidden_layers]
when = {{ family = "mlnn" }}
choices = [1]
source = "test"

[space.hidden_size]
when = {{ family = "mlnn" }}
low = 8
high = 64
source = "test"

[space.width]
when = {{ family = "cnn" }}
low = 4
high = 8
source = "test"

[space.batch_size]
choices = [16]
source = "test"

[space.optimizer]
choices = ["sgd"]
source = "test"

[space.momentum]
choices = [0.9]
source = "test"

[space.nesterov]
choices = [false]
source = "test"

[space.learning_rate]
low = 0.0001
high = {highest_rate}
log = true
source = "test"

[[configuration]]
label = "first"
source = "test"
family = "cnn"
width = 8
batch_size = 16
optimizer = "sgd"
momentum = 0.9
nesterov = false
learning_rate = {first_rate}

[[configuration]]
label = "second"
source = "test"
family = "mlnn"
hidden_layers = 1
hidden_size = 32
batch_size = 16
optimizer = "sgd"
momentum = 0.9
nesterov = false
learning_rate = 0.001
"""


def write_recipe(folder: Path, sampler: str = "tpe", first_rate: float = 0.01) -> Path:
    """Write the tiny recipe; ``first_rate`` is the learning rate of its first configuration."""
    file = folder / f"{sampler}.toml"
    file.write_text(RECIPE.format(sampler=sampler, first_rate=first_rate, highest_rate=min(100.0, 2 * first_rate)))
    return file


def write_data(folder: Path, seed: int = 0) -> Path:
    """Write three classes of noisy colour, each told by one channel, in MedMNIST's layout."""
    generator = np.random.default_rng(seed)
    arrays = {}
    for split, count in COUNTS.items():
        labels = np.arange(count) % 3
        images = generator.integers(0, 160, (count, SIZE, SIZE, 3))
        images[np.arange(count), :, :, labels] += 60
        arrays[f"{split}_images"] = images.astype(np.uint8)
        arrays[f"{split}_labels"] = labels.astype(np.uint8)[:, None]
    file = folder / f"tiny{seed}.npz"
    np.savez(file, **arrays)
    return file


class DrivenSearcher(QueueSearcher):
    """A searcher with the run, the recipe and the queue's trials that a test looks at."""

    def __init__(self, recipe: Recipe, run: RunDirectory, *, budget: int, seed: int) -> None:
        records = repair(run)
        self.run, self.recipe = run, recipe
        self.sampler = StudySampler(recipe, seed)
        self.recorders: list[Recorder] = [RunRecorder(run, recipe, records)]
        queue = TrialQueue(recipe, self.sampler, budget=budget, records=records, recorders=self.recorders)
        super().__init__(queue, run, seed=seed)


def make_searcher(
    folder: Path, *, budget: int = 6, seed: int = 0, name: str = "run", sampler: str = "tpe"
) -> DrivenSearcher:
    """Make a searcher on a new run of the tiny recipe."""
    folder.mkdir(exist_ok=True)
    recipe = load_recipe(str(write_recipe(folder, sampler)))
    run = RunDirectory.create(folder / "runs", name, recipe.text)
    return DrivenSearcher(recipe, run, budget=budget, seed=seed)


def reopen(searcher: DrivenSearcher, *, budget: int = 6, seed: int = 0) -> DrivenSearcher:
    """Make a second searcher on the same run, as a resumed search does."""
    recipe: Recipe = load_recipe(str(searcher.run.path / "recipe.toml"))
    run = RunDirectory.open(searcher.run.path)
    return DrivenSearcher(recipe, run, budget=budget, seed=seed)


def report(epochs: Sequence[int], score: float, **more: Any) -> dict[str, Any]:
    """Make a worker's report of ``epochs``, all with one validation macro-F1."""
    records = [EpochRecord(epoch, 1.0, 1.0, score, score, 0.5) for epoch in epochs]
    return {"epochs": records, "parameters": 10, "failure": None, **more}


def make_record(trial: int = 0, **changes: Any) -> TrialRecord:
    """Make a finished trial of three epochs, but for what ``changes`` say."""
    values: dict[str, Any] = {
        "trial": trial,
        "state": COMPLETE,
        "epochs": 3,
        "val_macro_f1": 0.1 + 0.2,
        "best_val_macro_f1": 1 / 3,
        "best_epoch": 2,
        "val_accuracy": 2 / 3,
        "train_seconds": 12.345,
        "parameters": 1234,
        "started": "2026-01-01T10:00:00+00:00",
        "retries": 0,
        "label": "CNN config 1",
        "message": "",
        "configuration": make_configuration("residual", **SGD | {"learning_rate": 1e-3 / 3}),
    }
    return TrialRecord(**values | changes)


def make_epochs(count: int, seed: int = 0) -> list[EpochRecord]:
    """Draw the first ``count`` epochs of a curve."""
    generator = np.random.default_rng(seed)
    return [EpochRecord(epoch, *map(float, generator.random(5))) for epoch in range(1, count + 1)]


def make_checkpoint(epoch: int) -> Checkpoint:
    """Make a checkpoint."""
    return Checkpoint(epoch, f"state of epoch {epoch}".encode())
