"""The frontier of accuracy against cost: by hand, and of a summary."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from frontier import frontier_points, pareto, speed_note
from summary_fixtures import fake_contenders, fake_run, fake_speed, make_summary


@pytest.mark.parametrize(
    ("pairs", "expected"),
    [
        ([(1, 5), (2, 4), (3, 1)], [True, True, True]),
        ([(1, 5), (2, 4), (1, 3)], [True, True, False]),  # the last one is worse than both
        ([(1, 5), (1, 4), (2, 4)], [True, False, True]),  # equal in one, worse in the other
        ([(2, 4), (2, 4), (1, 5)], [True, True, True]),  # equal ones do not beat each other
        ([(3, 5), (2, 4), (1, 3)], [True, False, False]),
        ([(-1, 0)], [True]),
        ([], []),
    ],
)
def test_the_frontier_has_what_no_other_one_beats(pairs: list[tuple[int, int]], expected: list[bool]) -> None:
    assert pareto([first for first, _ in pairs], [second for _, second in pairs]) == expected


def test_fewer_parameters_and_more_images_a_second_are_better(tmp_path: Path) -> None:
    tested, labels, names = fake_contenders()
    points = frontier_points(make_summary(fake_run(tmp_path / "run"), tested, labels, names))
    assert [point.label for point in points] == [one.contender.label for one in tested]
    by_label = {point.label: point for point in points}
    mlnn = max((point for point in points if point.family == "mlnn"), key=lambda point: point.accuracy.value)
    assert mlnn.is_fast and not mlnn.is_small, "the fastest and largest of all"
    assert by_label["lightweight CNN"].is_small and not by_label["lightweight CNN"].is_fast
    best = max(points, key=lambda point: point.accuracy.value)
    assert best.is_small and best.is_fast, "no other model is as accurate"


def test_cost_and_accuracy_are_of_the_seed_that_is_median_on_validation(tmp_path: Path) -> None:
    tested, labels, names = fake_contenders()
    contender = tested[0].contender
    counts = [10, 20, 30]
    retrainings = tuple(
        dataclasses.replace(one, parameters=count) for one, count in zip(contender.retrainings, counts, strict=True)
    )
    one = dataclasses.replace(tested[0], contender=dataclasses.replace(contender, retrainings=retrainings))
    summary = make_summary(fake_run(tmp_path / "run"), [one], labels, names)
    (point,) = frontier_points(summary)
    assert point.parameters == counts[contender.median]
    assert point.accuracy.value == (one.median_probabilities.argmax(axis=1) == labels).mean()
    assert point.speed == fake_speed(contender)
    assert "on one core of Some CPU; the median of 5 rounds." in speed_note([point])
