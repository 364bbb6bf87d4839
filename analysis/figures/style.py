"""What all figures share: sizes, colours, names, the line that names the data, and the files."""

from __future__ import annotations

import io
import math
import re
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bloodtune.space.configuration import Configuration

COLUMN, PAGE = 3.5, 7.0  # inches: one column, and the whole width, of a two-column page
SMALL, TEXT, TITLE = 6.0, 7.0, 8.0  # points

# Okabe and Ito, "Color Universal Design" (2008): told apart under every common colour blindness.
BLACK, ORANGE, SKY, GREEN = "#000000", "#E69F00", "#56B4E9", "#009E73"
BLUE, VERMILLION, PURPLE, GREY = "#0072B2", "#D55E00", "#CC79A7", "#7F7F7F"

LOSS_NAMES = {
    "cross_entropy": "CrossEntropy",
    "nll": "NLLLoss",
    "weighted_cross_entropy": "weighted CrossEntropy",
    "focal": "focal loss",
    "label_smoothing": "label smoothing",
}
OPTIMIZER_NAMES = {"sgd": "SGD", "adam": "Adam", "adamw": "AdamW"}

_STYLE: Any = {
    "font.family": "DejaVu Sans",  # comes with matplotlib: the same figure on every machine
    "font.size": TEXT,
    "axes.linewidth": 0.6,
    "pdf.fonttype": 42,  # journals refuse Type 3 fonts
}


@dataclass(frozen=True)
class CaptionedFigure:
    """A figure and its caption (plain text, one paragraph, ends with the sentence that names the data)."""

    figure: Figure
    caption: str


def new_figure(
    width: float, height: float, rows: int = 1, columns: int = 1, *, square: bool = False, **keywords: object
) -> tuple[Figure, list[Axes]]:
    """Return a figure of ``width`` × ``height`` inches and its axes, row by row.

    ``square`` closes the gaps that axes of a fixed shape leave; ``keywords`` go to ``Figure.subplots``.
    """
    with mpl.rc_context(_style()):
        figure = Figure(figsize=(width, height), layout="compressed" if square else "constrained")
        grid = figure.subplots(rows, columns, squeeze=False, **keywords)  # type: ignore[call-overload]
        for axes in grid.flat:
            # Ticks are made when they are drawn, outside this context: their settings have to be explicit.
            axes.tick_params(which="both", labelsize=TEXT, width=0.6, length=2.5, pad=2)
            axes.spines[["top", "right"]].set_visible(False)
    return figure, list(grid.flat)


def finish(figure: Figure, caption: str, data: str) -> CaptionedFigure:
    """Add the line that names the data below the figure, which grows by its height, and to the caption."""
    synthetic = "synthetic" in data.lower()
    width, height = figure.get_size_inches()
    characters = int(width * 72 / (SMALL * (0.68 if synthetic else 0.6)))
    lines = textwrap.wrap(data, characters)
    footer = (len(lines) * 1.25 + 0.8) * SMALL / 72
    figure.set_size_inches(width, height + footer)
    bottom = footer / (height + footer)
    figure.get_layout_engine().set(rect=(0, bottom, 1, 1 - bottom))  # type: ignore[union-attr, call-arg]
    figure.text(
        0.5,
        0.4 * SMALL / 72 / (height + footer),
        "\n".join(lines),
        ha="center",
        va="bottom",
        fontsize=SMALL,
        linespacing=1.25,
        family="DejaVu Sans",
        color=VERMILLION if synthetic else "#404040",
        weight="bold" if synthetic else "normal",
        parse_math=False,
        gid="data",
    )
    return CaptionedFigure(figure, f"{caption} {data}")


def save_figure(drawn: CaptionedFigure, folder: Path, name: str) -> tuple[Path, Path]:
    """Write ``name.pdf`` and ``name.png`` (300 dpi), the caption inside, and return both paths.

    The same figure gives the same bytes: no date is written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    pdf, png = folder / f"{name}.pdf", folder / f"{name}.png"
    title = name.replace("_", " ")
    with mpl.rc_context(_style()):
        drawn.figure.draw_without_rendering()
        drawn.figure.set_layout_engine("none")  # laid out once for both
        about = {"Title": title, "Subject": drawn.caption, "Creator": "bloodtune", "CreationDate": None}
        drawn.figure.savefig(pdf, metadata=about)
        about = {"Title": title, "Description": drawn.caption, "Software": "bloodtune"}
        drawn.figure.savefig(png, dpi=300, metadata=about)
    return pdf, png


def to_svg(drawn: CaptionedFigure) -> str:
    """Return the figure as an ``svg`` element for a page, the same figure as the same text; ids are the gids."""
    stream = io.StringIO()
    with mpl.rc_context({**_style(), "svg.hashsalt": "bloodtune"}):
        drawn.figure.savefig(stream, format="svg", metadata={"Date": None, "Creator": None}, transparent=True)
    return stream.getvalue().partition("<svg")[2].join(["<svg", ""])


def short_class_names(class_names: Sequence[str], width: int = 14, lines: int = 2) -> list[str]:
    """Return the class names on at most ``lines`` lines of ``width`` characters.

    What does not fit ends in an ellipsis; names that become equal are told apart by their number.
    """
    short = [_shorten(name, width, lines) for name in class_names]
    return [f"{i}: {name}" if short.count(name) > 1 else name for i, name in enumerate(short)]


def long_class_names(class_names: Sequence[str], width: int = 14, lines: int = 2) -> str:
    """Return a sentence with the names that ``short_class_names`` shortens, or nothing."""
    short = [name.replace("\n", " ") for name in short_class_names(class_names, width, lines)]
    cut = [f"{a} = {b}" for a, b in zip(short, class_names, strict=True) if a != b]
    return f" Shortened: {'; '.join(cut)}." if cut else ""


def loss_and_optimizer(configuration: Configuration) -> str:
    """Name what the published configurations of a family differ in, e.g. ``CrossEntropy + SGD``."""
    return f"{LOSS_NAMES[configuration.loss]} + {OPTIMIZER_NAMES[configuration.optimizer]}"


def panel_title(label: str, configuration: Configuration, separator: str = ": ") -> str:
    """Return ``Config-1: CrossEntropy + SGD`` for ``MLNN config 1``, the label itself for any other."""
    match = re.fullmatch(r".+ config (\d+)", label)
    return f"Config-{match[1]}{separator}{loss_and_optimizer(configuration)}" if match else label


def percent(share: float, digits: int = 1) -> str:
    """Return a fraction as percent, e.g. ``93.5 %``."""
    return f"{100 * share:.{digits}f} %"


def grid_shape(panels: int, columns: int) -> tuple[int, int]:
    """Return rows and columns for a number of panels, not more columns than ``columns``."""
    columns = min(panels, columns)
    return math.ceil(panels / columns), columns


def show_image(axes: Axes, image: np.ndarray) -> None:
    """Draw an image, uint8 (H, W), (H, W, 1) or (H, W, 3), without ticks and without smoothing its pixels."""
    grey = image.ndim == 2 or image.shape[-1] == 1
    axes.imshow(
        image.reshape(image.shape[:2]) if grey else image,
        cmap="gray" if grey else None,
        vmin=0,
        vmax=255,
        interpolation="nearest",
    )
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set(visible=True, linewidth=0.5, edgecolor=GREY)


def _shorten(name: str, width: int, lines: int) -> str:
    words = textwrap.wrap(name, width, break_long_words=False, break_on_hyphens=False)
    kept = [*words[: lines - 1], " ".join(words[lines - 1 :])]
    return "\n".join(x if len(x) <= width else x[: width - 1].rstrip() + "…" for x in kept if x)


def _style() -> mpl.RcParams:
    """Return matplotlib's defaults with the settings of this project, for ``mpl.rc_context``."""
    settings = mpl.rcParamsDefault.copy()
    settings.update(_STYLE)
    return settings
