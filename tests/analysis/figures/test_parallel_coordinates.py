"""Every trial as a line through its hyperparameters."""

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest

from bloodtune.run.directory import RunDirectory
from bloodtune.run.records import FAILED, scored
from figure_fixtures import drawn_texts, lines_of
from figures.parallel_coordinates import MOST_COLUMNS, parallel_coordinates
from figures.style import to_svg
from summary_data import SearchRecords

IMPORTANCES = {"learning_rate": 0.5, "family": 0.2, "nesterov": 0.1, "stain": 0.05, "momentum": math.nan}


def test_each_scored_trial_is_a_line_and_the_most_important_come_first(run: RunDirectory) -> None:
    drawn = parallel_coordinates(SearchRecords.read(run), IMPORTANCES, "x")
    scored = [record for record in run.trials() if record.best_val_macro_f1 is not None and record.state != FAILED]
    for record in scored:
        (line,) = lines_of(drawn, f"trial {record.trial}")
        assert len(line.get_xdata()) == len(drawn.figure.axes[0].get_xticks())  # type: ignore[arg-type]
    names = [text.get_text() for text in drawn.figure.axes[0].get_xticklabels()]
    assert names[:2] == ["learning\nrate", "family"] and names[-1] == "score"
    assert "stain" not in names, "all have the same"
    assert f"The {len(scored)} trials with a score" in drawn.caption


def test_the_best_trial_is_thick_and_on_top(run: RunDirectory) -> None:
    drawn = parallel_coordinates(SearchRecords.read(run), IMPORTANCES, "x")
    best = run.best()
    assert best is not None
    (line,) = lines_of(drawn, f"trial {best.trial}")
    assert line.get_linewidth() > 1
    assert line is [one for one in drawn.figure.axes[0].lines if str(one.get_gid()).startswith("trial")][-1]


def test_what_a_configuration_has_not_passes_below(run: RunDirectory) -> None:
    drawn = parallel_coordinates(SearchRecords.read(run), {"momentum": 1.0}, "x")
    for record in run.trials():
        for line in lines_of(drawn, f"trial {record.trial}"):
            assert (line.get_ydata()[0] < 0) == (record.configuration.momentum is None)  # type: ignore[index, operator]


def test_only_so_many_axes_stand_beside_each_other(run: RunDirectory) -> None:
    names = run.trials()[0].configuration.to_mapping()
    drawn = parallel_coordinates(SearchRecords.read(run), dict.fromkeys(names, 0.1), "x")
    assert len(drawn.figure.axes[0].get_xticks()) <= MOST_COLUMNS + 1
    assert len(drawn_texts(drawn.figure)) > 8


def test_a_run_without_a_score_has_axes_and_no_line(tmp_path: Path) -> None:
    run = RunDirectory.create(tmp_path, "empty", "")
    drawn = parallel_coordinates(SearchRecords.read(run), {}, "x")
    assert "The 0 trials" in drawn.caption
    drawn_texts(drawn.figure)


def test_without_importances_the_first_hyperparameters_that_vary_are_shown(run: RunDirectory) -> None:
    drawn = parallel_coordinates(SearchRecords.read(run), {}, "x")
    names = [text.get_text() for text in drawn.figure.axes[0].get_xticklabels()]
    assert names[0] == "family" and len(names) == MOST_COLUMNS + 1
    assert "most important" not in drawn.note


def test_the_height_of_a_score_is_the_logarithm_of_its_error(run: RunDirectory) -> None:
    drawn = parallel_coordinates(SearchRecords.read(run), IMPORTANCES, "x")
    known = [t for t in run.trials() if t.best_val_macro_f1 is not None and t.state != FAILED]
    scores = [record.best_val_macro_f1 or 0.0 for record in known]
    low, high = (math.log(1 - score) for score in (np.quantile(scores, 0.25), max(scores)))
    for record, score in zip(known, scores, strict=True):
        (line,) = lines_of(drawn, f"trial {record.trial}")
        share = (low - math.log(1 - score)) / (low - high)
        assert line.get_ydata()[-1] == pytest.approx(max(share, 0.0))  # type: ignore[index]


@pytest.mark.parametrize("score", [0.0, 0.9, 1.0])
def test_equal_scores_are_drawn_at_the_top(run: RunDirectory, score: float) -> None:
    search = SearchRecords.read(run)
    trials = tuple(dataclasses.replace(trial, best_val_macro_f1=score) for trial in search.trials)
    drawn = parallel_coordinates(dataclasses.replace(search, trials=trials), IMPORTANCES, "x")
    drawn_texts(drawn.figure)
    (line,) = lines_of(drawn, f"trial {scored(trials)[0].trial}")
    assert line.get_ydata()[-1] == pytest.approx(1)  # type: ignore[index]


def test_a_figure_is_the_same_svg_each_time(run: RunDirectory) -> None:
    first, second = (to_svg(parallel_coordinates(SearchRecords.read(run), IMPORTANCES, "x")) for _ in range(2))
    assert first == second
    assert first.startswith("<svg") and '<g class="trial"><title>trial ' in first
