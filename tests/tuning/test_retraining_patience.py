"""The end of a retraining: patience, and schedules that run to their end."""

from __future__ import annotations

import pytest

from bloodtune.tuning.retraining_workers import PATIENCE, Trainer
from retraining_fixtures import FALLING, epoch_of_weights, train


def test_patience_is_ten_epochs() -> None:
    assert PATIENCE == 10


def test_a_constant_rate_ends_ten_epochs_after_the_best_one(trainer: Trainer) -> None:
    trained = train(trainer, 0.1, 0.2, 0.9, *[0.8] * 97)
    assert [epoch.epoch for epoch in trained.epochs] == list(range(1, 14))
    assert (trained.result["epochs"], trained.result["best_epoch"]) == (13, 3)


def test_a_constant_rate_that_never_improves_ends_after_its_eleventh_epoch(trainer: Trainer) -> None:
    assert len(train(trainer, *[0.0] * 100).epochs) == 11


def test_an_equal_score_is_no_better_one(trainer: Trainer) -> None:
    trained = train(trainer, *[0.5] * 100)
    assert (len(trained.epochs), trained.result["best_epoch"], epoch_of_weights(trained)) == (11, 1, 1)


@pytest.mark.parametrize(("better_at", "epochs"), [(11, 21), (12, 11)])
def test_a_better_score_counts_up_to_the_tenth_epoch_after_the_best(
    trainer: Trainer, better_at: int, epochs: int
) -> None:
    scores = [0.5] * 100
    scores[better_at - 1] = 0.6
    assert len(train(trainer, *scores).epochs) == epochs


def test_each_better_score_starts_the_wait_anew(trainer: Trainer) -> None:
    rising = [score / 100 for score in range(1, 41)]
    assert len(train(trainer, *rising, *[0.0] * 60).epochs) == 50


@pytest.mark.parametrize("schedule", FALLING)
def test_a_falling_rate_runs_to_its_end(trainer: Trainer, schedule: str) -> None:
    trained = train(trainer, 0.9, *[0.1] * 39, schedule=schedule, epochs=40)
    assert (len(trained.epochs), trained.result["best_epoch"]) == (40, 1)


@pytest.mark.parametrize("schedule", ["constant", *FALLING])
def test_no_training_is_longer_than_asked_for(trainer: Trainer, schedule: str) -> None:
    trained = train(trainer, 0.1, 0.2, 0.3, 0.4, schedule=schedule, epochs=4)
    assert (trained.result["epochs"], trained.result["best_epoch"]) == (4, 4)
