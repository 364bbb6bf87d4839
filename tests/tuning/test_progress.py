"""The progress of a search, on the screen and in plain lines."""

from __future__ import annotations

import dataclasses
import math
import re
import time
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from bloodtune.monitoring.live_view import clock, sparkline
from bloodtune.space.configuration import Configuration, describe
from bloodtune.tuning.progress import Progress
from bloodtune.tuning.stopper import Interrupt
from run_fixtures import DrivenSearcher, make_searcher, report


def busy_searcher(folder: Path) -> DrivenSearcher:
    searcher = make_searcher(folder)
    for trial_id, reported in (("a", report([1, 2, 3], 0.75)), ("b", report([1], 0.2)), ("c", report([], 0.0))):
        searcher.suggest(trial_id)
        searcher.on_trial_complete(trial_id, reported | {"failure": "boom" if trial_id == "c" else None})
    searcher.suggest("d")
    searcher.on_trial_result("d", report([1, 2], 0.5))
    return searcher


def make_progress(searcher: DrivenSearcher, interrupt: Interrupt | None = None) -> Progress:
    return Progress(searcher.queue, interrupt or Interrupt(), title="run", workers=2, train_images=100)


def test_a_plain_line_tells_trials_by_state_epochs_and_the_best(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    progress = make_progress(busy_searcher(tmp_path))
    progress.on_step_end(1, [])
    progress.on_step_end(2, [])
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1, "the next one is due a minute later"
    assert lines[0].startswith(
        "3/6 trials, 1 done, 1 running, 1 pruned, 1 failed, 6 of about 9 epochs (ASHA saved 2, 25%), "
    )
    assert "best 0.7500 (trial 0)" in lines[0]


def test_the_best_may_still_be_running(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    searcher = busy_searcher(tmp_path)
    searcher.on_trial_result("d", report([3], 0.9))
    make_progress(searcher).on_step_end(1, [])
    assert "best 0.9000 (trial 3)" in capsys.readouterr().err


def test_the_time_left_counts_down_between_reports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now)
    searcher = busy_searcher(tmp_path)
    progress = make_progress(searcher)
    first = progress.view().left
    now += 0.2
    assert progress.view().left == pytest.approx(first - 0.2) != pytest.approx(0)
    now += 100
    assert progress.view().left == 0
    searcher.on_trial_result("d", report([3], 0.9))
    assert 0 < progress.view().left < first


def draw(progress: Progress, width: int) -> list[str]:
    console = Console(file=StringIO(), width=width, force_terminal=False)
    console.print(progress.view().screen(width))
    return console.file.getvalue().splitlines()  # type: ignore[attr-defined, no-any-return]


@pytest.mark.parametrize("width", [60, 80, 120])
def test_the_screen_fits_its_terminal_and_names_what_runs(tmp_path: Path, width: int) -> None:
    interrupt = Interrupt()
    progress = make_progress(busy_searcher(tmp_path), interrupt)
    lines = draw(progress, width)
    assert max(map(len, lines)) <= width
    screen = "\n".join(lines)
    for expected in ("3/6 trials", "1 done", "1 running", "1 pruned", "1 failed", "0.7500", "#3 0.5000", "2/3"):
        assert expected in screen
    assert "ASHA saved 2, 25%" in " ".join(screen.replace("│", " ").split())
    assert "1 of 2 workers busy, load" in screen
    assert "Ctrl-C stops" in screen
    interrupt.reason = "Ctrl-C"
    assert "Ctrl-C: stopping" in "\n".join(draw(progress, width))


def test_a_curve_is_drawn_against_the_rungs(tmp_path: Path) -> None:
    searcher = busy_searcher(tmp_path)
    assert (searcher.recipe.asha.rungs, searcher.recipe.asha.max_epochs) == ((1,), 3)
    (row,) = [line for line in draw(make_progress(searcher), 80) if "#3" in line]
    assert re.search(r"#3 0\.5000 +([▁-█])│\1· +2/3 ", row)
    searcher.suggest("e")
    for number, value in enumerate((0.75, 0.2, 0.7)):
        searcher.queue.halving.restore(number, [value])
    (row,) = [line for line in draw(make_progress(searcher), 80) if "#4" in line]
    assert re.search(r"#4 +- +·│·· +0/3, 0\.7500 at 1", row), "what it takes to be among the best: one of four"


def test_a_paused_trial_is_counted_as_such_and_may_be_the_best(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    searcher = busy_searcher(tmp_path)
    searcher.on_trial_result("d", report([3], 0.9))
    searcher.queue.pause(3)
    view = make_progress(searcher).view()
    assert view.counts == {"done": 1, "running": 0, "paused": 1, "pruned": 1, "failed": 1}
    assert (view.finished, view.epochs, view.bests) == (3, 7, [0.75, 0.75, 0.75, 0.9])
    assert view.best is not None and (view.best.trial, view.best.state) == (3, "PAUSED")


def test_of_many_running_trials_the_first_are_shown(tmp_path: Path) -> None:
    view = make_progress(busy_searcher(tmp_path)).view()
    many = dataclasses.replace(view, running=list(view.running) * 30)
    console = Console(file=StringIO(), width=80)
    console.print(many.screen(80))
    screen = console.file.getvalue()  # type: ignore[attr-defined]
    assert screen.count("#3 ") == 12 and "and 18 more" in screen


def test_a_sparkline_keeps_the_last_of_each_group_and_shows_small_errors() -> None:
    assert sparkline([], 10) == ""
    assert sparkline([0.0, 0.5, 0.9], 10) == "▁▁█"
    assert sparkline([0.2] * 5 + [0.9] * 5, 2) == "▁█"
    assert len(set(sparkline([0.9, 0.94, 0.96, 0.97], 10))) == 4


def test_describe_leaves_out_what_is_off() -> None:
    configuration = Configuration(
        family="residual",
        width=24,
        optimizer="sgd",
        learning_rate=0.0512,
        momentum=0.9,
        nesterov=True,
        schedule="one_cycle",
        dihedral=True,
        ema=0.1,
    )
    text = describe(configuration)
    assert text == (
        "residual, width 24, zscore, cross_entropy, sgd, rate 0.051, momentum 0.9, nesterov, batch size 128, "
        "one_cycle, dihedral, ema 0.1"
    )


def test_clock_shows_minutes_then_hours() -> None:
    assert [clock(seconds) for seconds in (0, 59.6, 754, 7320, math.inf)] == [
        "0:00",
        "1:00",
        "12:34",
        "2 h 02 min",
        "?",
    ]
