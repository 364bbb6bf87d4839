"""What a figure of the summary really draws, for the tests of figures."""

from __future__ import annotations

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Text

from figures.style import CaptionedFigure


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
