"""The texts and lines that a figure really draws, and the points of a crowded frontier."""

from __future__ import annotations

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Text

from bloodtune.training.metrics import Interval
from bloodtune.tuning.retrained_models import Speed
from figures.style import CaptionedFigure
from frontier import Point, pareto

# Label, family, parameters, images per second, accuracy: close to each other at the top, and two equal models.
_CROWD = (
    ("MLNN config 1", "mlnn", 4_179_568, 71_000.0, 0.871),
    ("MLNN config 3", "mlnn", 4_179_568, 71_000.0, 0.871),
    ("CNN config 2", "cnn", 422_344, 14_200.0, 0.941),
    ("CNN config 4", "cnn", 422_344, 14_601.0, 0.938),
    ("lightweight CNN", "lightweight", 505_208, 4_600.0, 0.941),
    ("search #45", "residual", 216_968, 540.0, 0.971),
    ("search #45, 81 epochs", "residual", 216_968, 545.0, 0.974),
    ("search #12", "residual", 123_000, 900.0, 0.969),
    ("search #31", "residual", 99_000, 1_300.0, 0.966),
    ("search #7", "my_networks:small", 61_000, 2_200.0, 0.963),
)


def crowded_points() -> list[Point]:
    """Return the frontier's points of a summary with close scores."""
    _, _, parameters, speeds, accuracies = zip(*_CROWD, strict=True)
    small, fast = pareto([-count for count in parameters], accuracies), pareto(speeds, accuracies)
    return [
        Point(label, family, count, Speed(speed, 8, 5, "Some CPU"), Interval(value, value - 0.006, value + 0.005), *on)
        for (label, family, count, speed, value), *on in zip(_CROWD, small, fast, strict=True)
    ]


def drawn_texts(figure: Figure) -> list[Text]:
    """Return the texts that really are drawn; ticks outside the limits exist but are not."""
    canvas, drawn, original = FigureCanvasAgg(figure), [], Text.draw

    def record(self: Text, *arguments: object, **keywords: object) -> None:
        if self.get_visible() and self.get_text():
            drawn.append(self)
        original(self, *arguments, **keywords)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Text, "draw", record)
        canvas.draw()
    return drawn


def lines_of(drawn: CaptionedFigure, gid: str) -> list[Line2D]:
    return [line for line in drawn.figure.findobj(Line2D) if line.get_gid() == gid]


def texts_of(drawn: CaptionedFigure, gid: str) -> list[Text]:
    return [text for text in drawn.figure.findobj(Text) if text.get_gid() == gid]
