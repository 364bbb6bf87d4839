"""What a person sees while a search runs."""

from __future__ import annotations

from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from bloodtune.configuration import Configuration
from bloodtune.interrupt import Interrupt
from bloodtune.progress import Progress, clock, describe
from bloodtune.searcher import StudySearcher
from run_fixtures import make_searcher, report


def busy_searcher(folder: Path) -> StudySearcher:
    searcher = make_searcher(folder)
    for trial_id, reported in (("a", report([1, 2, 3], 0.75)), ("b", report([1], 0.2)), ("c", report([], 0.0))):
        searcher.suggest(trial_id)
        searcher.on_trial_complete(trial_id, reported | {"failure": "boom" if trial_id == "c" else None})
    searcher.suggest("d")
    searcher.on_trial_result("d", report([1, 2], 0.5))
    return searcher


def test_a_plain_line_tells_trials_by_state_epochs_and_the_best(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    progress = Progress(busy_searcher(tmp_path), Interrupt(), title="t", train_images=100)
    progress.on_step_end(1, [])
    progress.on_step_end(2, [])
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1, "the next one is due much later"
    assert lines[0].startswith("3/6 trials, 1 done, 1 running, 1 pruned, 1 failed, 6 epochs, ")
    assert "best 0.7500 (trial 0)" in lines[0]


def test_the_best_may_still_be_running(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    searcher = busy_searcher(tmp_path)
    searcher.on_trial_result("d", report([3], 0.9))
    Progress(searcher, Interrupt(), title="t", train_images=100).on_step_end(1, [])
    assert "best 0.9000 (trial 3)" in capsys.readouterr().err


@pytest.mark.parametrize("width", [60, 80, 120])
def test_the_screen_fits_its_terminal_and_names_what_runs(tmp_path: Path, width: int) -> None:
    interrupt = Interrupt()
    progress = Progress(busy_searcher(tmp_path), interrupt, title="run · 2 workers", train_images=100)
    console = Console(file=StringIO(), width=width, force_terminal=False)
    progress._console = console
    console.print(progress._screen())
    screen = console.file.getvalue()  # type: ignore[attr-defined]
    assert max(map(len, screen.splitlines())) <= width
    for expected in ("3/6 trials", "1 done", "1 running", "1 pruned", "1 failed", "0.7500", "trial 3", "2/3"):
        assert expected in screen
    assert "Ctrl-C stops" in screen
    interrupt.reason = "Ctrl-C"
    console.print(progress._screen())
    assert "Ctrl-C: stopping" in console.file.getvalue()  # type: ignore[attr-defined]


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
    assert [clock(seconds) for seconds in (0, 59.6, 754, 7320)] == ["0:00", "1:00", "12:34", "2 h 02 min"]
