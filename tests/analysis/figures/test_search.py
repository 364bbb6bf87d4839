"""The figures of a search: best so far, and learning curves."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from bloodtune.run.directory import RunDirectory
from bloodtune.run.records import FAILED, PRUNED, EpochRecord
from display_names import data_mark
from figure_fixtures import drawn_texts, lines_of
from figures.search import best_so_far, learning_curves
from summary_data import SearchRecords
from summary_fixtures import RUNGS, fake_provenance, fake_run

MARK = data_mark(fake_provenance(synthetic=True))


def test_best_so_far_draws_the_running_best_against_epochs_spent(run: RunDirectory, control: RunDirectory) -> None:
    drawn = best_so_far(SearchRecords.read(run), MARK, SearchRecords.read(control))

    trials = run.trials()
    (line,) = lines_of(drawn, "search")
    spent = np.cumsum([trial.epochs for trial in trials])
    values = [0.0 if trial.state == FAILED else trial.best_val_macro_f1 for trial in trials]
    np.testing.assert_array_equal(line.get_xdata(), spent)
    np.testing.assert_array_equal(line.get_ydata(), np.maximum.accumulate(np.array(values, dtype=float)))
    published = max((trial for trial in trials if trial.label), key=lambda trial: trial.best_val_macro_f1 or 0)
    assert lines_of(drawn, "published")[0].get_ydata()[0] == published.best_val_macro_f1
    assert f"({published.label})" in drawn.note
    assert len(lines_of(drawn, "random control")) == 1
    assert "random sampler" in drawn.note


def test_best_so_far_does_not_count_a_failed_trial_and_shows_those_below_the_axis(
    run: RunDirectory, tmp_path: Path
) -> None:
    first, second, third = [trial for trial in run.trials() if not trial.label][:3]
    changed = RunDirectory.create(tmp_path, "changed", "")
    changed.append_trial(dataclasses.replace(first, best_val_macro_f1=0.90, label="one of the user's own"))
    changed.append_trial(dataclasses.replace(second, best_val_macro_f1=0.99, state=FAILED))
    changed.append_trial(dataclasses.replace(third, best_val_macro_f1=0.10, state=PRUNED))

    drawn = best_so_far(SearchRecords.read(changed), MARK)

    np.testing.assert_array_equal(lines_of(drawn, "search")[0].get_ydata(), [0.9, 0.9, 0.9])
    assert len(lines_of(drawn, "below")[0].get_xdata()) == 1
    assert "triangles the trials below the axis (1)" in drawn.note
    assert not lines_of(drawn, "published"), "a label alone does not make it one of the papers'"


def test_best_so_far_of_failed_trials_only_is_empty(run: RunDirectory, tmp_path: Path) -> None:
    failed = RunDirectory.create(tmp_path, "failed", "")
    failed.append_trial(next(trial for trial in run.trials() if trial.state == FAILED))

    assert not lines_of(best_so_far(SearchRecords.read(failed), MARK), "search")
    assert "0 COMPLETE" not in learning_curves(SearchRecords.read(failed), RUNGS, MARK).caption


def test_learning_curves_end_where_their_trial_ended(run: RunDirectory) -> None:
    drawn = learning_curves(SearchRecords.read(run), RUNGS, MARK)

    for trial in run.trials():
        lines = lines_of(drawn, f"trial {trial.trial}")
        assert len(lines) == (trial.epochs > 0)
        for line in lines:
            assert line.get_xdata()[-1] == trial.epochs
            assert line.get_ydata()[-1] == trial.val_macro_f1
    assert [line.get_xdata()[0] for line in lines_of(drawn, "rung")] == list(RUNGS)
    assert "4 COMPLETE, 15 PRUNED, 1 FAILED" in drawn.caption


def test_learning_curves_leave_out_an_interrupted_trial(tmp_path: Path) -> None:
    run = fake_run(tmp_path / "interrupted", trials=2)
    run.append_epochs(2, [EpochRecord(1, 1.0, 1.0, 0.5, 0.5, 1.0)])

    drawn = learning_curves(SearchRecords.read(run), RUNGS, MARK)

    assert not lines_of(drawn, "trial 2")
    assert "the 2 trials" in drawn.caption


def test_search_figures_of_one_trial_can_be_drawn(tmp_path: Path) -> None:
    run = fake_run(tmp_path / "one", trials=1)

    for drawn in (best_so_far(SearchRecords.read(run), MARK), learning_curves(SearchRecords.read(run), (), MARK)):
        assert drawn_texts(drawn.figure)


def test_scores_are_spaced_by_the_logarithm_of_their_error(run: RunDirectory) -> None:
    search = SearchRecords.read(run)
    for drawn in (best_so_far(search, MARK), learning_curves(search, RUNGS, MARK)):
        (axes,) = drawn.figure.axes
        heights = axes.transData.transform([(1, 0.5), (1, 0.75), (1, 0.875)])[:, 1]
        assert heights[1] - heights[0] == pytest.approx(heights[2] - heights[1]), "each halves the error"
        ticks = [float(label.get_text()) for label in axes.get_yticklabels()]
        low, high = axes.get_ylim()
        assert len(ticks) >= 3 and low <= ticks[0] < ticks[-1] <= high
        assert [axes.get_yticks()[i] for i in range(len(ticks))] == pytest.approx(ticks)
