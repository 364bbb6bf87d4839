"""The screen and the log line of a search, from snapshots made by hand."""

from __future__ import annotations

import math
from io import StringIO
from typing import Any

import pytest
from rich.console import Console

from bloodtune.monitoring.live_view import Running, View, clock, sparkline
from bloodtune.run.records import EpochRecord
from engine_fixtures import make_configuration
from run_fixtures import make_record


def make_view(**changes: Any) -> View:
    """Make a snapshot in the middle of a search of 27 epochs a trial, but for what ``changes`` say."""
    values: dict[str, Any] = {
        "title": "night",
        "budget": 64,
        "counts": {"done": 3, "running": 2, "pruned": 5, "failed": 0},
        "epochs": 1234,
        "epochs_left": 411,
        "saved": 617,
        "images_per_second": 15300.4,
        "elapsed": 754.0,
        "left": 7320.0,
        "load": "2 of 2 workers busy",
        "best": make_record(7, best_val_macro_f1=0.91234, best_epoch=21, label=""),
        "bests": [0.0, 0.5, 0.91234],
        "running": [],
        "rungs": (3, 9),
        "max_epochs": 27,
        "needed": {},
    }
    return View(**values | changes)


def make_running(*scores: float, trial: int = 8, label: str = "") -> Running:
    """Make a running trial with these scores after its first epochs."""
    epochs = [EpochRecord(epoch, 1.0, 1.0, 0.0, score, 1.0) for epoch, score in enumerate(scores, start=1)]
    return Running(trial, label, make_configuration("cnn"), epochs)


def draw(view: View, width: int = 100) -> list[str]:
    console = Console(file=StringIO(), width=width, force_terminal=False)
    console.print(view.screen(width))
    return console.file.getvalue().splitlines()  # type: ignore[attr-defined, no-any-return]


def row_of(view: View, trial: int = 8) -> str:
    """Return the screen's line of a running trial, without the frame."""
    (row,) = [line for line in draw(view) if f"#{trial} " in line]
    return row.removeprefix("│").removesuffix("│").strip()


# The log line


def test_the_log_line_has_all_numbers_and_leaves_out_states_without_trials() -> None:
    assert make_view().line() == (
        "8/64 trials, 3 done, 2 running, 5 pruned, 1,234 of about 1,645 epochs (ASHA saved 617, 33%), 15,300 images/s, "
        "best 0.9123 (trial 7), 12:34 elapsed, about 2 h 02 min left"
    )


def test_the_log_line_of_a_search_that_just_began() -> None:
    view = make_view(
        counts={"running": 2}, epochs=0, epochs_left=184, saved=0, images_per_second=0.0, best=None, left=math.inf
    )
    assert view.line() == (
        "0/64 trials, 2 running, 0 of about 184 epochs (none saved yet), 0 images/s, no score yet, "
        "12:34 elapsed, about ? left"
    )


def test_running_and_paused_trials_are_not_finished() -> None:
    assert make_view().finished == 8
    assert make_view(counts={"done": 1, "running": 2, "paused": 7, "pruned": 3, "failed": 1}).finished == 5
    assert make_view(counts={"running": 4}).finished == 0


# The screen


def test_the_screen_tells_trials_by_state_and_leaves_out_states_without_trials() -> None:
    counts = {"done": 3, "running": 2, "paused": 21, "pruned": 5, "failed": 0}
    screen = "\n".join(draw(make_view(counts=counts), width=80))
    assert "8/64 trials  ·  3 done  2 running  21 paused  5 pruned" in screen
    assert "1,234 of about 1,645 epochs  ·  ASHA saved 617, 33%" in screen
    assert "15,300 images/s  ·  2 of 2 workers busy" in screen
    assert "75%  12:34 elapsed  2 h 02 min left" in screen


@pytest.mark.parametrize(("epochs", "left", "share"), [(0, 0, 0), (0, 184, 0), (92, 92, 0.5), (184, 0, 1)])
def test_the_bar_shows_the_share_of_the_expected_epochs(epochs: int, left: int, share: float) -> None:
    row, whole = draw(make_view(epochs=epochs, epochs_left=left))[1], draw(make_view(epochs_left=0))[1]
    assert row.count("━") / whole.count("━") == pytest.approx(share, abs=0.05)
    assert f"{share:.0%}  12:34 elapsed" in row


def test_a_search_without_epochs_to_come_shows_those_trained() -> None:
    assert any("1,234 epochs  ·  ASHA" in line for line in draw(make_view(epochs_left=0)))


def test_the_screen_is_no_wider_than_it_can_be_read() -> None:
    assert {len(line) for line in draw(make_view(), width=200)} == {110}


def test_the_screen_tells_the_best_trial_with_its_label_and_configuration() -> None:
    best = make_record(7, best_val_macro_f1=0.91234, best_epoch=21, configuration=make_configuration("cnn"))
    lines = draw(make_view(best=best))
    (at,) = [number for number, line in enumerate(lines) if "best so far" in line]
    assert "best so far 0.9123 macro-F1, trial 7, epoch 21 ▁" in lines[at]
    assert "  CNN config 1: cnn, width 8, zscore, cross_entropy, adam, rate 0.003" in lines[at + 1]


@pytest.mark.parametrize("best", [None, make_record(best_val_macro_f1=None)])
def test_the_screen_says_where_there_is_no_score_yet(best: Any) -> None:
    assert any("best so far: no score yet" in line for line in draw(make_view(best=best, bests=[])))


# Running trials


def test_a_running_trial_is_told_by_its_label_or_else_by_its_configuration() -> None:
    assert row_of(make_view(running=[make_running(label="CNN config 1")])).endswith("CNN config 1")
    assert "cnn, width 8" in row_of(make_view(running=[make_running()]))


def test_a_curve_has_a_column_an_epoch_and_a_line_after_each_rung() -> None:
    row = row_of(make_view(running=[make_running(0.1, 0.1, 0.1, 0.91234)]))
    assert row.startswith("#8 0.9123 ▁▁▁│█·····│·················· 4/27 ")


def test_a_curve_longer_than_its_columns_shows_the_last_epoch_of_each() -> None:
    view = make_view(max_epochs=54, rungs=(3,), running=[make_running(0.1, 0.91234, 0.91234, 0.1, 0.91234)])
    assert row_of(view).startswith(f"#8 0.9123 █▁│█{'·' * 24} 5/54 ")


def test_a_curve_without_a_best_score_is_drawn_up_to_nine_tenths() -> None:
    view = make_view(best=None, bests=[], rungs=(), running=[make_running(0.3, 0.9, 0.95)])
    assert row_of(view).startswith("#8 0.9500 ▁██·")


@pytest.mark.parametrize(
    ("epochs", "needed", "text"),
    [
        (0, {3: 0.7, 9: 0.8}, "0/27, 0.7000 at 3"),
        (2, {3: 0.7, 9: 0.8}, "2/27, 0.7000 at 3"),
        (3, {3: 0.7, 9: 0.8}, "3/27, 0.8000 at 9"),
        (0, {9: 0.8}, "0/27, 0.8000 at 9"),
        (9, {3: 0.7, 9: 0.8}, "9/27 "),
        (0, {}, "0/27 "),
    ],
)
def test_a_running_trial_is_told_what_the_next_rung_needs(epochs: int, needed: dict[int, float], text: str) -> None:
    row = row_of(make_view(running=[make_running(*[0.5] * epochs)], needed=needed))
    assert text in row
    assert (" at " in row) == (" at " in text)


@pytest.mark.parametrize(("count", "more"), [(12, False), (13, True)])
def test_twelve_running_trials_have_room(count: int, more: bool) -> None:
    screen = "\n".join(draw(make_view(running=[make_running(trial=trial) for trial in range(count)])))
    assert "#11 " in screen and "#12 " not in screen
    assert ("and 1 more" in screen) == more


# Its parts


def test_a_sparkline_of_equal_scores_is_low() -> None:
    assert sparkline([0.9], 10) == "▁"
    assert sparkline([0.5, 0.5], 10) == "▁▁"
    assert sparkline([0.0, 0.0], 10) == "▁▁"


def test_a_sparkline_takes_a_perfect_score() -> None:
    assert sparkline([0.9, 1.0], 10) == "▁█"


def test_a_sparkline_is_scaled_by_the_logarithm_of_the_error() -> None:
    # From an error of 0.1 to one of 0.001, an error of 0.01 is in the middle: 3.5 of 7 blocks, rounded to 4.
    assert sparkline([0.9, 0.99, 0.999], 10) == "▁▅█"


@pytest.mark.parametrize("width", [-5, 0, 1])
def test_a_sparkline_without_room_shows_the_last_score(width: int) -> None:
    assert sparkline([0.1, 0.9], width) == "▁"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.4, "0:00"),
        (59.4, "0:59"),
        (3599.4, "59:59"),
        (3599.6, "1 h 00 min"),
        (86_400, "24 h 00 min"),
        (math.nan, "?"),
    ],
)
def test_clock_rounds_to_seconds_before_it_chooses_the_unit(seconds: float, text: str) -> None:
    assert clock(seconds) == text
