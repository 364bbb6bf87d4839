"""The table of the frontier: accuracy, parameters and prediction speed of every retrained model."""

from __future__ import annotations

import pandas as pd

from contender_labels import shared_trainings
from frontier import frontier_points, speed_note
from summary_data import Summary
from tables.files import Panel, Table
from tables.number_format import NOTHING, decimals_of, percent

_FRONTIERS = {
    (True, True): "both",
    (True, False): "parameters",
    (False, True): "images/s",
    (False, False): NOTHING,
}


def frontier_table(summary: Summary) -> Table:
    """Return table 8: the models with the fewest parameters first."""
    points = sorted(frontier_points(summary), key=lambda point: (point.parameters, -point.accuracy.value))
    frame = pd.DataFrame(
        {
            "configuration": [point.label for point in points],
            "parameters": [point.parameters for point in points],
            "views": [point.speed.views for point in points],
            "images_per_second": [point.speed.images_per_second for point in points],
            "accuracy": [point.accuracy.value for point in points],
            "accuracy_low": [point.accuracy.low for point in points],
            "accuracy_high": [point.accuracy.high for point in points],
            "on_parameter_frontier": [point.is_small for point in points],
            "on_speed_frontier": [point.is_fast for point in points],
        }
    )
    decimals = decimals_of([point.accuracy for point in points])
    best = summary.choices.best
    shown = pd.DataFrame(
        {
            "Configuration": [f"{point.label}{' (chosen)' if point.label == best else ''}" for point in points],
            "Accuracy": [percent(point.accuracy, decimals) for point in points],
            "Parameters": [f"{point.parameters:,}" for point in points],
            "Images/s": [f"{point.speed.images_per_second:,.0f}" for point in points],
            "Views": [str(point.speed.views) for point in points],
            "On the frontier of": [_FRONTIERS[point.is_small, point.is_fast] for point in points],
        }
    )
    caption = "Test accuracy in % with 95 % bootstrap interval, parameters and prediction speed of every configuration."
    note = (
        "A model is on the frontier of parameters (of images/s) if no other model is more accurate with as few "
        "parameters (at the same speed), and none smaller (faster) at the same accuracy. The model is the seed that is "
        f"median on validation. {speed_note(points)} No choice depends on the frontiers."
        f"{shared_trainings(list(summary.contenders.values()))}"
    )
    return Table("table8_frontier", caption, frame, (Panel("", shown),), note, summary.mark)
