"""Importance within each family, from late scores, with its spread."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bloodtune.run.directory import RunDirectory
from bloodtune.run.records import COMPLETE, PRUNED, EpochRecord, TrialRecord
from bloodtune.space.configuration import Configuration
from figures import importance
from figures.importance import FEWEST_TRIALS, Importance, importance_figure, importances, overall
from summary_data import SearchRecords


@pytest.fixture(autouse=True)
def few_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importance, "_DRAWS", 4)


def make_run(folder: Path, cnn: int, mlnn: int = 0, *, promoted: int) -> RunDirectory:
    """Make a run of so many trials of two families, of which the first ones of each go on from epoch 1 to epoch 3.

    At epoch 3 the learning rate decides the score, at epoch 1 nothing does.
    """
    run = RunDirectory.create(folder, "run", "")
    generator = np.random.default_rng(0)
    for number in range(cnn + mlnn):
        rate, dropout = 10 ** generator.uniform(-4, -1), generator.uniform(0, 0.5)
        shape: dict[str, Any] = {"family": "cnn", "width": int(generator.choice([8, 16]))}
        if number >= cnn:
            shape = {"family": "mlnn", "hidden_layers": 1, "hidden_size": 64}
        configuration = Configuration(**shape, dropout=dropout, optimizer="adam", learning_rate=rate, batch_size=64)
        late = 0.9 - 0.2 * abs(np.log10(rate) + 2.5) - 0.01 * dropout
        last = 3 if (number if number < cnn else number - cnn) < promoted else 1
        scores = [generator.uniform(), generator.uniform(), late][:last]
        run.append_epochs(number, [EpochRecord(e, 1, 1, score, score, 1) for e, score in enumerate(scores, start=1)])
        state = COMPLETE if last == 3 else PRUNED
        run.append_trial(
            TrialRecord(number, state, last, late, late, 1, late, 1.0, 10, "2026", 0, "", "", configuration)
        )
    return run


def test_importance_comes_from_the_last_epoch_that_enough_trials_reached(tmp_path: Path) -> None:
    (found,) = importances(SearchRecords.read(make_run(tmp_path, 40, promoted=25)), (1,))
    assert (found.family, found.epoch, found.trials) == ("cnn", 3, 25)
    assert set(found.shares) == {"width", "dropout", "learning_rate"}, "the rest never varied"
    medians = found.medians()
    assert next(iter(medians)) == "learning_rate" and medians["learning_rate"] > 0.6
    assert sum(shares[0] for shares in found.shares.values()) == pytest.approx(1)
    assert len(found.shares["width"]) == 4 and np.ptp(found.shares["learning_rate"]) > 0


def test_with_too_few_late_trials_an_earlier_rung_is_used(tmp_path: Path) -> None:
    (found,) = importances(SearchRecords.read(make_run(tmp_path, 20, promoted=FEWEST_TRIALS - 1)), (1,))
    assert (found.epoch, found.trials) == (1, 20)


def test_each_family_has_its_own_importance_or_none(tmp_path: Path) -> None:
    run = make_run(tmp_path, FEWEST_TRIALS, FEWEST_TRIALS, promoted=FEWEST_TRIALS)
    cnn, mlnn = importances(SearchRecords.read(run), (1,))
    assert "width" in cnn.shares and "width" not in mlnn.shares


def test_a_family_with_too_few_trials_has_none(tmp_path: Path) -> None:
    run = make_run(tmp_path, FEWEST_TRIALS, FEWEST_TRIALS - 1, promoted=0)
    assert [one.family for one in importances(SearchRecords.read(run), (1,))] == ["cnn"]


def test_equal_scores_have_no_importance(tmp_path: Path) -> None:
    run = make_run(tmp_path, 20, promoted=0)
    run.curves().assign(val_macro_f1=0.5).to_csv(run.path / "curves.csv", index=False)
    assert importances(SearchRecords.read(run), (1,)) == []


def test_a_run_without_trials_has_no_importance(tmp_path: Path) -> None:
    assert importances(SearchRecords.read(RunDirectory.create(tmp_path, "empty", "")), (1,)) == []


def test_the_overall_importance_puts_the_family_first_and_weighs_by_trials() -> None:
    found = [
        Importance("cnn", 9, 30, {"dropout": np.array([0.4])}),
        Importance("mlnn", 9, 10, {"ema": np.array([0.8])}),
    ]
    assert overall(found) == pytest.approx({"family": 1.0, "dropout": 0.3, "ema": 0.2})
    assert overall([]) == {}


def test_the_figure_draws_medians_with_quantiles_largest_first() -> None:
    shares = {"ema": np.array([0.1, 0.2, 0.3]), "dropout": np.array([0.9, 0.8, 0.7])}
    drawn = importance_figure([Importance("cnn", 9, 14, shares)], "x")
    (axes,) = drawn.figure.axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["dropout", "ema"]
    assert [bar.get_width() for bar in axes.patches] == pytest.approx([0.8, 0.2])
    (lines,) = axes.collections
    assert [path.vertices[:, 0].tolist() for path in lines.get_paths()] == [
        pytest.approx([0.72, 0.88]),
        pytest.approx([0.12, 0.28]),
    ]
    assert axes.get_title(loc="left") == "CNN: 14 trials at epoch 9"
    assert "bootstrap" in drawn.note
