"""Threads: results in order, few items ahead, errors and an early end."""

from __future__ import annotations

import itertools
import threading

import pytest

from bloodtune.data.parallel_map import map_in_threads


def test_results_come_in_order_whatever_ends_first() -> None:
    second_is_done = threading.Event()

    def work(item: int) -> int:
        if item == 0:
            assert second_is_done.wait(10)
        if item == 1:
            second_is_done.set()
        return item**2

    assert list(map_in_threads(work, range(50), ahead=2, workers=2)) == [item**2 for item in range(50)]
    assert list(map_in_threads(work, [], ahead=2)) == []


def test_items_are_taken_only_as_far_ahead_as_allowed() -> None:
    taken = []
    items = (taken.append(item) or item for item in itertools.count())  # type: ignore[func-returns-value]
    results = map_in_threads(str, items, ahead=3, workers=2)
    assert [next(results), next(results)] == ["0", "1"]
    assert len(taken) == 3 * 2 + 2
    results.close()  # type: ignore[attr-defined]
    assert len(taken) == 3 * 2 + 2


def test_each_thread_is_prepared_and_an_error_reaches_the_caller() -> None:
    prepared = []
    results = map_in_threads(lambda item: 1 // item, [1, 0], ahead=1, workers=1, initializer=lambda: prepared.append(1))
    assert next(results) == 1
    with pytest.raises(ZeroDivisionError, match="by zero"):
        next(results)
    assert prepared == [1]
