"""The retrainings of a summary: their choice, their order and their files, with stand-ins for the trainings."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bloodtune.data.dataset import load_dataset
from bloodtune.data.preparation import Preparation
from bloodtune.inference.classifier import WEIGHTS
from bloodtune.training.numerics import FLOAT32
from bloodtune.tuning.retrained_models import Contender
from bloodtune.tuning.retraining import retrain
from bloodtune.tuning.retraining_cache import DISTANCES, HELD_OUT, Candidate, Trained, TrainingJob, find_jobs, keep
from bloodtune.tuning.retraining_workers import Workers
from contender_labels import FOUND, PUBLISHED
from engine_fixtures import SGD, make_configuration
from run_fixtures import make_epochs, write_data

# From the longest epochs to the shortest.
SLOW, MIDDLE, FAST = (
    make_configuration(family, **SGD, loss="cross_entropy") for family in ("lightweight", "residual", "mlnn")
)


def candidate(label: str, configuration: Any, epochs: int = 10, origin: str = FOUND) -> Candidate:
    return Candidate(label, origin, configuration, epochs)


def test_folds_have_trainings_of_their_own(tmp_path: Path) -> None:
    path, one = str(write_data(tmp_path)), candidate("one", FAST)
    plain, three, four = (load_dataset(path, Preparation(folds=folds)) for folds in (None, 3, 4))
    places = {find_jobs(one, tmp_path, data, 1, FLOAT32)[0].folder for data in (plain, three, four)}
    assert len(places) == 3


def test_each_teacher_has_students_of_its_own(tmp_path: Path) -> None:
    data, places = load_dataset(str(write_data(tmp_path))), []
    for name in ("a", "b", "a"):
        (tmp_path / name).mkdir(exist_ok=True)
        (tmp_path / name / WEIGHTS).write_text(f"weights of {name}")
        one = dataclasses.replace(candidate("one", FAST), teacher=tmp_path / name)
        (job,) = find_jobs(one, tmp_path, data, 1, FLOAT32)
        assert job.teacher == tmp_path / name
        places.append(job.folder)
    (untaught,) = find_jobs(candidate("one", FAST), tmp_path, data, 1, FLOAT32)
    assert places[0] == places[2] and len({*places, untaught.folder}) == 3


def test_held_out_predictions_are_kept_beside_the_model(tmp_path: Path) -> None:
    keep(Trained(TrainingJob(FAST, 1, 1, tmp_path), {}, [], None, np.eye(2), np.ones(2)))
    np.testing.assert_array_equal(np.load(tmp_path / HELD_OUT), np.eye(2))
    np.testing.assert_array_equal(np.load(tmp_path / DISTANCES), np.ones(2))


@pytest.fixture
def trained() -> list[tuple[str, int]]:
    """The families and epochs that the played workers were given, in order."""
    return []


@pytest.fixture
def train(tmp_path: Path, trained: list[tuple[str, int]]) -> Callable[..., list[Contender]]:
    """Return ``retrain`` with played workers; learning rates above 1 diverge."""
    dataset = load_dataset(str(write_data(tmp_path)))

    def play(dataset: Any, waiting: list[TrainingJob], *_: object) -> Iterator[Trained]:
        while waiting:
            job = waiting.pop(0)
            trained.append((job.configuration.family, job.epochs))
            if job.configuration.learning_rate > 1:
                yield Trained(job, {"failure": "loss is inf"}, [], None)
                continue
            scores = {"epochs": 1, "best_epoch": 1, "val_macro_f1": 0.5, "val_accuracy": 0.5, "train_seconds": 1.0}
            yield Trained(job, scores | {"parameters": job.epochs}, make_epochs(1), None)

    def run(
        first: Sequence[Candidate],
        beside: Sequence[Candidate] = (),
        then: Callable[[list[Contender]], Sequence[Candidate]] = lambda done: [],
        seeds: int = 1,
    ) -> list[Contender]:
        folder, workers = tmp_path / "retrained", Workers(count=2, gpus=0.0)
        silent = {"advance": lambda *_: None, "train": play}
        return retrain(first, beside, then, dataset, folder, seeds=seeds, workers=workers, **silent)  # type: ignore[arg-type]

    return run


def test_what_follows_from_the_first_comes_next_and_the_rest_fills_up(
    trained: list[tuple[str, int]], train: Callable[..., list[Contender]]
) -> None:
    asked = []

    def longer(done: list[Contender]) -> list[Candidate]:
        asked.append([contender.label for contender in done])
        return [candidate("longer", MIDDLE, 20)]

    first = [candidate("fast", FAST), candidate("middle", MIDDLE)]
    done = train(first, [candidate("published", FAST, 30, PUBLISHED), candidate("slow", SLOW, 30)], longer, seeds=2)
    assert trained == [
        *(("residual", 10), ("residual", 10), ("mlnn", 10), ("mlnn", 10)),
        *(("residual", 20), ("residual", 20)),
        *(("lightweight", 30), ("lightweight", 30), ("mlnn", 30), ("mlnn", 30)),
    ], "the longest first, in each of the three"
    assert [contender.label for contender in done] == ["fast", "middle", "published", "slow", "longer"]
    assert [len({r.seed for r in contender.retrainings}) for contender in done] == [2] * 5
    assert asked == [["fast", "middle"]], "once, when all of them are there"
    again = train(first, [candidate("published", FAST, 30, PUBLISHED), candidate("slow", SLOW, 30)], longer, seeds=2)
    assert len(trained) == 10, "the second call finds them all"
    assert [c.retrainings[0].model for c in again] == [c.retrainings[0].model for c in done]


def test_configurations_that_are_one_function_share_their_trainings(
    trained: list[tuple[str, int]], train: Callable[..., list[Contender]]
) -> None:
    twin = make_configuration("mlnn", **SGD, loss="nll")
    one, two = train([], [candidate("one", FAST), candidate("two", twin)])
    assert len(trained) == 1
    assert one.retrainings[0].model == two.retrainings[0].model


def test_a_training_that_diverged_in_its_first_epoch_leaves_its_candidate_out(
    trained: list[tuple[str, int]], train: Callable[..., list[Contender]]
) -> None:
    wild = make_configuration("mlnn", **SGD | {"learning_rate": 5.0})
    followed = []
    done = train([candidate("wild", wild), candidate("tame", FAST)], then=lambda done: followed.append(done) or [])
    assert [contender.label for contender in done] == ["tame"]
    assert [contender.label for contender in followed[0]] == ["tame"]
