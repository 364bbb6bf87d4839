"""The frontier of accuracy against cost: retrained models that no other one beats in both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bloodtune.training.metrics import Interval
from bloodtune.tuning.retrained_models import Speed
from summary_data import Summary


@dataclass(frozen=True)
class Point:
    """A retrained model: cost, test accuracy on [0, 1], and whether it is on each of the two frontiers."""

    label: str
    family: str
    parameters: int
    speed: Speed
    accuracy: Interval
    is_small: bool
    is_fast: bool


def frontier_points(summary: Summary) -> list[Point]:
    """Return one point per contender, in their order: the seed that is median on validation."""
    contenders = list(summary.contenders.values())
    accuracies = [summary.measured[one.label].intervals["accuracy"] for one in contenders]
    parameters = [one.retrainings[one.median].parameters for one in contenders]
    speeds = [summary.speeds[one.label] for one in contenders]
    scores = [accuracy.value for accuracy in accuracies]
    small = pareto([-count for count in parameters], scores)
    fast = pareto([speed.images_per_second for speed in speeds], scores)
    return [
        Point(one.label, one.configuration.family, *rest)
        for one, *rest in zip(contenders, parameters, speeds, accuracies, small, fast, strict=True)
    ]


def pareto(first: Sequence[float], second: Sequence[float]) -> list[bool]:
    """Return for each pair of two merits whether no other pair is better in one and at least as good in the other."""
    pairs = list(zip(first, second, strict=True))
    return [not any(a >= x and b >= y and (a, b) != (x, y) for a, b in pairs) for x, y in pairs]


def speed_note(points: Sequence[Point]) -> str:
    """Return a sentence on the measurement of the images per second."""
    return (
        "Images/s: the prediction that is scored, with its views of each image (turned, mirrored, shifted) and the "
        f"precision of the training, on one core of {points[0].speed.processor}; the median of "
        f"{points[0].speed.rounds} rounds."
    )
