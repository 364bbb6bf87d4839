"""The stopwatch of a worker."""

from __future__ import annotations

import pytest

from bloodtune.training import phase_timer
from bloodtune.training.phase_timer import Stopwatch


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = iter(float(tick**2) for tick in range(100))
    monkeypatch.setattr(phase_timer.time, "perf_counter", lambda: next(ticks))


def test_each_second_belongs_to_the_part_that_ran() -> None:
    watch = Stopwatch(on=True)
    for part in ("load", "train", "load", "report"):  # at 0, 1, 4 and 9 seconds
        watch.enter(part)
    assert watch.take() == {"load": 1 + 5, "train": 3}
    assert watch.take() == {}
    watch.rename("start")
    watch.enter("train")
    assert watch.take() == {"start": 7}


def test_what_was_handed_to_a_gpu_is_waited_for() -> None:
    waited = []
    watch = Stopwatch(on=True)
    watch.wait = lambda: waited.append(1)
    watch.enter("train")
    assert waited == [1]


def test_one_that_is_off_measures_nothing_and_waits_for_nothing() -> None:
    watch = Stopwatch()
    watch.wait = lambda: pytest.fail("waited")
    watch.enter("train")
    watch.enter("report")
    assert watch.take() == {}
