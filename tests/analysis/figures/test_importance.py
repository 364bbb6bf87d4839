"""Importance at a common rung."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bloodtune.run.directory import RunDirectory
from bloodtune.run.records import COMPLETE, PRUNED, EpochRecord, TrialRecord
from bloodtune.space.configuration import Configuration
from figures.importance import rung_importance
from summary import SearchRecords


def make_run(folder: Path, trials: int = 40, *, one_family: bool = False) -> RunDirectory:
    """Make a run whose score is decided by the learning rate, a little by dropout, and not by the rest."""
    run = RunDirectory.create(folder, "run", "")
    generator = np.random.default_rng(0)
    for number in range(trials):
        rate, dropout = 10 ** generator.uniform(-4, -1), generator.uniform(0, 0.5)
        shape: dict[str, Any] = {"family": "cnn", "width": 16 if number % 2 else 8}
        if number % 2 and not one_family:
            shape = {"family": "mlnn", "hidden_layers": 1, "hidden_size": 64}
        configuration = Configuration(
            **shape,
            normalization="minmax" if number % 5 else "zscore",
            dropout=dropout,
            optimizer="adam",
            learning_rate=rate,
            batch_size=int(generator.choice([64, 128])),
        )
        score = 0.9 - 0.2 * abs(np.log10(rate) + 2.5) - 0.1 * dropout
        # Pruned trials end at the rung; those that went on would mislead with their later values.
        last = 1 if number % 3 else 3
        run.append_epochs(
            number,
            [EpochRecord(e, 1, 1, score, score if e == 1 else generator.uniform(), 1) for e in range(1, last + 1)],
        )
        state = PRUNED if last == 1 else COMPLETE
        run.append_trial(
            TrialRecord(number, state, last, score, score, 1, score, 1.0, 10, "2026", 0, "", "", configuration)
        )
    return run


def test_importance_finds_what_decided_and_counts_pruned_trials(tmp_path: Path) -> None:
    importance, rung = rung_importance(SearchRecords.read(make_run(tmp_path)), (1,))
    assert rung == 1
    assert sum(importance.values()) == pytest.approx(1)
    assert next(iter(importance)) == "learning_rate"
    assert importance["learning_rate"] > 0.6
    varied = {"family", "normalization", "dropout", "learning_rate", "batch_size"}
    assert set(importance) == varied, "the rest never varied"


def test_importance_within_one_family_counts_its_sizes(tmp_path: Path) -> None:
    importance, _ = rung_importance(SearchRecords.read(make_run(tmp_path, one_family=True)), (1,))
    assert set(importance) == {"width", "normalization", "dropout", "learning_rate", "batch_size"}


def test_importance_without_rungs_uses_the_last_epoch_that_all_share(tmp_path: Path) -> None:
    assert rung_importance(SearchRecords.read(make_run(tmp_path)), ())[1] == 1


def test_importance_of_too_few_trials_is_empty(tmp_path: Path) -> None:
    assert rung_importance(SearchRecords.read(make_run(tmp_path, trials=3)), (1,)) == ({}, 1)


def test_importance_of_equal_scores_is_empty(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    curves = run.curves().assign(val_macro_f1=1.0)
    curves.to_csv(run.path / "curves.csv", index=False)
    assert rung_importance(SearchRecords.read(run), (1,)) == ({}, 1)
