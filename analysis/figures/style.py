"""The style of all figures: sizes, colours, names, the mark of the data, and PDF, PNG and SVG files."""

from __future__ import annotations

import io
import math
import re
import textwrap
import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bloodtune.errors import printable
from bloodtune.space.configuration import Configuration

COLUMN, PAGE = 3.5, 7.0  # inches: width of one column and of a whole two-column page
SMALL, TEXT, TITLE = 6.0, 7.0, 8.0  # points
PIXELS_PER_POINT = 1.9  # on an HTML page
_SVG = "http://www.w3.org/2000/svg"

# Okabe and Ito, "Color Universal Design" (2008): distinguishable with every common colour blindness.
BLACK, ORANGE, SKY, GREEN = "#000000", "#E69F00", "#56B4E9", "#009E73"
BLUE, VERMILLION, PURPLE, GREY = "#0072B2", "#D55E00", "#CC79A7", "#7F7F7F"

FAMILY_COLOURS = {"mlnn": ORANGE, "cnn": BLUE, "lightweight": GREEN, "residual": PURPLE, "resnet": VERMILLION}

LOSS_NAMES = {
    "cross_entropy": "CrossEntropy",
    "nll": "NLLLoss",
    "weighted_cross_entropy": "weighted CrossEntropy",
    "focal": "focal loss",
    "label_smoothing": "label smoothing",
}
OPTIMIZER_NAMES = {"sgd": "SGD", "adam": "Adam", "adamw": "AdamW"}

_STYLE: Any = {
    "font.family": "DejaVu Sans",  # part of matplotlib, so figures are the same on every machine
    "font.size": TEXT,
    "axes.linewidth": 0.6,
    "pdf.fonttype": 42,  # journals refuse Type 3 fonts
}


@dataclass(frozen=True)
class CaptionedFigure:
    """A figure with a caption of one sentence and an explaining note, both plain text.

    ``mark`` is the short mark of the data. ``titles`` maps gids of artists to their hover texts on an HTML page.
    """

    figure: Figure
    caption: str
    note: str = ""
    mark: str = ""
    titles: Mapping[str, str] = field(default_factory=dict)

    @property
    def description(self) -> str:
        """Caption, note and mark as one paragraph, for the metadata of files."""
        return " ".join(part for part in (self.caption, self.note, self.mark and f"Data: {self.mark}.") if part)

    @property
    def pixels(self) -> int:
        """Width on an HTML page at which letters are as large as the captions."""
        return round(self.figure.get_figwidth() * 72 * PIXELS_PER_POINT)


def family_colour(family: str) -> str:
    """Return the colour of a family of networks; all of the user's own have the same."""
    return FAMILY_COLOURS.get(family, VERMILLION)


def new_figure(
    width: float, height: float, rows: int = 1, columns: int = 1, *, square: bool = False, **keywords: object
) -> tuple[Figure, list[Axes]]:
    """Return a figure of ``width`` × ``height`` inches and its axes, row by row.

    ``square`` closes the gaps between axes of a fixed shape. ``keywords`` go to ``Figure.subplots``.
    """
    with mpl.rc_context(_style()):
        figure = Figure(figsize=(width, height), layout="compressed" if square else "constrained")
        grid = figure.subplots(rows, columns, squeeze=False, **keywords)  # type: ignore[call-overload]
        for axes in grid.flat:
            # Explicit settings, because ticks are created at drawing time, outside this context.
            axes.tick_params(which="both", labelsize=TEXT, width=0.6, length=2.5, pad=2)
            axes.spines[["top", "right"]].set_visible(False)
    return figure, list(grid.flat)


def finish(
    figure: Figure, caption: str, note: str, mark: str, titles: Mapping[str, str] | None = None
) -> CaptionedFigure:
    """Return the figure with its texts; if ``mark`` is not empty, it is written on a new line below."""
    if mark:
        synthetic = "synthetic" in mark.lower()
        width, height = figure.get_size_inches()
        footer = 2.05 * SMALL / 72
        figure.set_size_inches(width, height + footer)
        bottom = footer / (height + footer)
        figure.get_layout_engine().set(rect=(0, bottom, 1, 1 - bottom))  # type: ignore[union-attr, call-arg]
        figure.text(
            0.5,
            0.4 * SMALL / 72 / (height + footer),
            textwrap.shorten(mark, int(width * 72 / (SMALL * 0.68)), placeholder="…"),
            ha="center",
            va="bottom",
            fontsize=SMALL,
            family="DejaVu Sans",
            color=VERMILLION if synthetic else "#404040",
            weight="bold" if synthetic else "normal",
            parse_math=False,
            gid="data",
        )
    return CaptionedFigure(figure, caption, note.strip(), mark, titles or {})


def save_figure(drawn: CaptionedFigure, folder: Path, name: str) -> tuple[Path, Path]:
    """Write ``name.pdf`` and ``name.png`` (300 dpi) with the caption as metadata; return both paths.

    The files have no date, so that the same figure gives the same bytes.
    """
    folder.mkdir(parents=True, exist_ok=True)
    pdf, png = folder / f"{name}.pdf", folder / f"{name}.png"
    title = name.replace("_", " ")
    with mpl.rc_context(_style()):
        drawn.figure.draw_without_rendering()
        drawn.figure.set_layout_engine("none")  # one layout serves both files
        about = {"Title": title, "Subject": drawn.description, "Creator": "bloodtune", "CreationDate": None}
        drawn.figure.savefig(pdf, metadata=about)
        about = {"Title": title, "Description": drawn.description, "Software": "bloodtune"}
        drawn.figure.savefig(png, dpi=300, metadata=about)
    return pdf, png


def to_svg(drawn: CaptionedFigure) -> str:
    """Return the figure as an ``svg`` element for an HTML page; the same figure gives the same text.

    Artists in ``drawn.titles`` get their hover text, and the first word of their gid as class. Ids are removed,
    because two figures of a page may draw the same trial.
    """
    stream = io.StringIO()
    with mpl.rc_context({**_style(), "svg.hashsalt": "bloodtune"}):
        drawn.figure.savefig(stream, format="svg", metadata={"Date": None, "Creator": None}, transparent=True)
    svg = ET.fromstring(stream.getvalue())
    for metadata in svg.findall(f"{{{_SVG}}}metadata"):
        svg.remove(metadata)
    for group in svg.iter(f"{{{_SVG}}}g"):
        gid = group.attrib.pop("id", "")
        if gid in drawn.titles:
            group.set("class", gid.split()[0])
            title = ET.Element(f"{{{_SVG}}}title")
            title.text = drawn.titles[gid]
            group.insert(0, title)
            group.text = None
    for name in ("width", "height"):
        svg.attrib.pop(name)
    svg.set("role", "img")
    svg.set("aria-label", drawn.caption)
    ET.register_namespace("", _SVG)
    ET.register_namespace("xlink", "http://www.w3.org/1999/xlink")
    return ET.tostring(svg, encoding="unicode")


def short_class_names(class_names: Sequence[str], width: int = 14, lines: int = 2) -> list[str]:
    """Return the class names, shortened to at most ``lines`` lines of ``width`` characters.

    Shortened lines end in an ellipsis. Names that become equal get the number of their class.
    """
    short = [_shorten(printable(name), width, lines) for name in class_names]
    return [f"{i}: {name}" if short.count(name) > 1 else name for i, name in enumerate(short)]


def long_class_names(class_names: Sequence[str], width: int = 14, lines: int = 2) -> str:
    """Return a sentence on the names that ``short_class_names`` shortens, or an empty string."""
    short = [name.replace("\n", " ") for name in short_class_names(class_names, width, lines)]
    cut = [f"{a} = {b}" for a, b in zip(short, map(printable, class_names), strict=True) if a != b]
    return f" Shortened: {'; '.join(cut)}." if cut else ""


def loss_and_optimizer(configuration: Configuration) -> str:
    """Return the names of loss and optimiser, e.g. ``CrossEntropy + SGD``."""
    return f"{LOSS_NAMES[configuration.loss]} + {OPTIMIZER_NAMES[configuration.optimizer]}"


def panel_title(label: str, configuration: Configuration, separator: str = ": ") -> str:
    """Return e.g. ``Config-1: CrossEntropy + SGD`` for the label ``MLNN config 1``; other labels are unchanged."""
    match = re.fullmatch(r".+ config (\d+)", label)
    return f"Config-{match[1]}{separator}{loss_and_optimizer(configuration)}" if match else label


def percent(share: float, digits: int = 1) -> str:
    """Return a fraction as percent, e.g. ``93.5 %``."""
    return f"{100 * share:.{digits}f} %"


def grid_shape(panels: int, columns: int) -> tuple[int, int]:
    """Return rows and columns of a grid for ``panels``, with at most ``columns`` columns."""
    columns = min(panels, columns)
    return math.ceil(panels / columns), columns


def show_image(axes: Axes, image: np.ndarray) -> None:
    """Draw an image, uint8 (H, W), (H, W, 1) or (H, W, 3), without ticks or smoothing."""
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
    """Return matplotlib's defaults with this project's settings."""
    settings = mpl.rcParamsDefault.copy()
    settings.update(_STYLE)
    return settings
