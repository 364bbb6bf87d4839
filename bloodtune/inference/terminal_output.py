"""Screen of a count: the first images, the unsure ones, the fields and the table of the count, for a terminal."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from bloodtune.errors import printable
from bloodtune.inference.differential import OF_LEUKOCYTES, Prediction, Result, Row, Tally, Unreadable
from bloodtune.inference.manual_count import METHOD, compare_counts
from bloodtune.inference.writers import FOR_RESEARCH

if TYPE_CHECKING:
    from bloodtune.inference.predictor import Predictor

# Images per list; CSV and JSON files list all images.
SCREEN_IMAGES = 20


class Screen:
    """Tables on standard output: first images, unsure images, count."""

    def __init__(self, predictor: Predictor) -> None:
        self._threshold, self._caveat = predictor.threshold, predictor.caveat
        self._images: list[Prediction] = []
        self._unsure: list[Prediction] = []
        self._unreadable: list[Unreadable] = []

    def add(self, result: Result) -> None:
        """Keep an image for the tables while there is room."""
        if isinstance(result, Unreadable):
            self._unreadable += [result] if len(self._unreadable) < SCREEN_IMAGES else []
        if not isinstance(result, Prediction):
            return
        self._images += [result] if len(self._images) < SCREEN_IMAGES else []
        self._unsure += [result] if not result.sure and len(self._unsure) < SCREEN_IMAGES else []

    def finish(self, tally: Tally) -> None:
        """Print the tables."""
        console = Console()
        unsure = f"Not sure (below {self._threshold:.2f}): check these yourself"
        if self._images:
            _print_images(console, "Cells" if tally.finding else "Images", self._images, tally.images)
        if self._unsure and tally.images > len(self._images) and self._unsure != self._images:
            _print_images(console, unsure, self._unsure, tally.unsure.total())
        for source, first in tally.copies[:SCREEN_IMAGES]:
            console.print(
                screen_text(f"{source}: the same picture as {first}; both are counted", "yellow"), soft_wrap=True
            )
        for result in self._unreadable:
            console.print(screen_text(f"{result.source}: {result.reason}", "red"), soft_wrap=True)
        if tally.fields:
            _print_fields(console, tally)
        if tally.alarm:
            console.print(screen_text(tally.alarm, "bold red"))
        if tally.images:
            console.print(_count_table(tally))
        if tally.images and tally.manual:
            console.print(_comparison_table(tally))
            console.print(f"* they differ by more than chance: {METHOD}\n", style="dim", highlight=False)
        console.print(printable(f"{tally.summary(self._threshold)}. {FOR_RESEARCH}"), highlight=False, markup=False)
        if tally.images:
            console.print(screen_text(self._caveat, "yellow"))


def _print_fields(console: Console, tally: Tally) -> None:
    checked = sorted(tally.fields, key=lambda count: not count.notes)[:SCREEN_IMAGES]
    table = simple_table("Fields")
    table.add_column("field", no_wrap=True)
    for title in ("cells", "cut", "small", "µm/px"):
        table.add_column(title, justify="right")
    table.add_column("to check")
    for one in checked:
        numbers = (f"{one.cells}", f"{one.cut}", f"{one.small}", f"{one.microns_per_pixel:.3f}")
        table.add_row(*map(screen_text, (Path(one.source).name, *numbers, "; ".join(one.notes))))
    console.print(table)
    if len(tally.fields) > len(checked):
        rest = f"{len(checked)} of {len(tally.fields):,}, those to check first; --json FILE lists all"
        console.print(f"{rest}\n", style="dim", highlight=False)
    counts = [one.cells for one in tally.fields]
    mean = sum(counts) / len(counts)
    console.print(f"cells per field: {mean:.1f} on average, {min(counts)} to {max(counts)}\n", highlight=False)


def _print_images(console: Console, title: str, images: list[Prediction], total: int) -> None:
    table = simple_table(title)
    table.add_column("file", no_wrap=True)
    table.add_column("class", no_wrap=True)
    table.add_column("", justify="right", min_width=5)
    table.add_column("second choice", no_wrap=True)
    table.add_column("", justify="right", min_width=5, style="dim")
    for image in images:
        first = (
            Path(image.source).name,
            image.label if image.sure else f"{image.label} {'?' if image.known else '(unlike)'}",
            f"{image.probability:.3f}",
        )
        second = (image.second, f"{image.second_probability:.3f}")
        table.add_row(*map(screen_text, (*first, *second)), style="" if image.sure else "yellow")
    console.print(table)
    if total > len(images):
        console.print(f"the first {len(images)} of {total:,}; --csv FILE or --json FILE lists all\n", style="dim")


def _count_table(tally: Tally) -> Table:
    rows = tally.rows()
    blood = rows[0].unit == OF_LEUKOCYTES
    table = simple_table("Differential count" if blood else "Count")
    table.add_column("class", no_wrap=True)
    table.add_column("cells" if tally.finding else "images", justify="right")
    table.add_column("unsure", justify="right")
    table.add_column("share", justify="right")
    table.add_column("95 % CI", justify="right", no_wrap=True)
    table.add_column("unit", no_wrap=True)
    for row in rows:
        unsure = tally.unsure[row.label]
        table.add_row(
            screen_text(row.label), f"{row.images:,}", f"{unsure:,}" if unsure else "", *row.cells(), row.unit
        )
    return table


def _comparison_table(tally: Tally) -> Table:
    table = simple_table("Manual count beside this one")
    table.add_column("class")  # is folded in a narrow terminal, so that no flag is cut off
    for title in ("manual", "% (95 % CI)", "here", "% (95 % CI)", "p"):
        table.add_column(title, justify="right", no_wrap=True)
    for one in compare_counts(tally):
        counts = [text for row in (one.manual, one.ours) for text in (f"{row.images:,}", _share(row))]
        cells = (one.ours.label, *counts, f"{one.shown_p_value}{'*' if one.differs else ' '}")
        table.add_row(*map(screen_text, cells), style="bold" if one.differs else "")
    return table


def _share(row: Row) -> str:
    value, interval = row.cells()
    return f"{value} ({interval})" if value else ""


def screen_text(text: str, style: str = "") -> Text:
    """Return text for the terminal, with control characters escaped."""
    return Text(printable(text), style)


def simple_table(title: str) -> Table:
    """Return a table without columns yet, in the style of the screen; the title may be empty."""
    return Table(
        title=Text(title, "bold") if title else None,
        title_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        padding=(0, 1, 0, 0),
    )
