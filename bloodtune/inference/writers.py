"""What a count is written to: the screen, a CSV file, a JSON file, a page with the pictures."""

from __future__ import annotations

import base64
import csv
import dataclasses
import json
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from bloodtune.inference.differential import OF_LEUKOCYTES, Prediction, Tally, Unreadable

if TYPE_CHECKING:
    from bloodtune.inference.predictor import Predictor

# The screen and the page show as many images of a kind, one by one; the CSV and the JSON file have all.
SCREEN_IMAGES, PAGE_IMAGES = 20, 120

FOR_RESEARCH = "For research, not for diagnosis."


class Screen:
    """Tables on the standard output: the images, those that the model is not sure of, and the count."""

    def __init__(self, predictor: Predictor) -> None:
        self._threshold = predictor.threshold
        self._images: list[Prediction] = []
        self._unsure: list[Prediction] = []
        self._unreadable: list[Unreadable] = []

    def add(self, one: Prediction | Unreadable) -> None:
        """Keep what is shown at the end."""
        if isinstance(one, Unreadable):
            self._unreadable += [one] if len(self._unreadable) < SCREEN_IMAGES else []
            return
        self._images += [one] if len(self._images) < SCREEN_IMAGES else []
        self._unsure += [one] if not one.sure and len(self._unsure) < SCREEN_IMAGES else []

    def finish(self, tally: Tally) -> None:
        """Print the tables."""
        console = Console()
        unsure = f"Not sure (below {self._threshold:.2f}): look at these yourself"
        if self._images:
            _print_images(console, "Images", self._images, tally.images)
        if self._unsure and tally.images > len(self._images):
            _print_images(console, unsure, self._unsure, tally.unsure.total())
        for one in self._unreadable:
            console.print(Text(f"{one.source}: {one.reason}", "red"), soft_wrap=True)
        if tally.images:
            console.print(_count_table(tally))
        console.print(f"{tally.summary(self._threshold)}. {FOR_RESEARCH}", highlight=False)


class _File:
    """A file that appears whole at the end, or not at all."""

    def __init__(self, file: Path, predictor: Predictor) -> None:
        self._file = file
        self._predictor = predictor
        self._temporary = file.with_name(f".{file.name}.part")

    def __enter__(self) -> Any:
        self._stream = self._temporary.open("w", encoding="utf-8", newline="")
        try:
            self.begin()
        except BaseException:
            self.__exit__(OSError, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._stream.close()  # which writes the rest, if there is room
        except OSError:
            self._temporary.unlink()
            raise
        if kind is None:
            self._temporary.replace(self._file)
        else:
            self._temporary.unlink()

    def begin(self) -> None:
        """Write what comes before the first image."""


class CsvFile(_File):
    """A row an image: file, class, its probability, the second choice, whether it is sure, and all probabilities."""

    def begin(self) -> None:
        """Write the head of the table."""
        self._writer = csv.writer(self._stream, lineterminator="\n")
        names = self._predictor.class_names
        self._writer.writerow(["file", "class", "probability", "second", "second_probability", "sure", "error", *names])

    def add(self, one: Prediction | Unreadable) -> None:
        """Write a row."""
        if isinstance(one, Unreadable):
            blank = [""] * len(self._predictor.class_names)
            self._writer.writerow([one.source, *[""] * 5, one.reason, *blank])
            return
        numbers = [f"{value:.6f}" for value in one.probabilities]
        shown = [f"{one.probability:.6f}", one.second, f"{one.second_probability:.6f}", str(one.sure).lower(), ""]
        self._writer.writerow([one.source, one.label, *shown, *numbers])

    def finish(self, tally: Tally) -> None:
        """Add nothing: the count is not a row an image."""


class JsonFile(_File):
    """One object: the model, the images, the count."""

    def begin(self) -> None:
        """Write the model and open the list of images."""
        head = {"model": self._predictor.card, "threshold": self._predictor.threshold}
        self._stream.write(json.dumps(head, indent=1)[:-2] + ',\n "images": [')
        self._separator = "\n  "

    def add(self, one: Prediction | Unreadable) -> None:
        """Write an image."""
        self._stream.write(self._separator + json.dumps(as_mapping(one, self._predictor.class_names)))
        self._separator = ",\n  "

    def finish(self, tally: Tally) -> None:
        """Write the count."""
        rows = [{"class": row.pop("label"), **row} for row in map(dataclasses.asdict, tally.rows())]
        end = {"count": rows, "unsure": tally.unsure.total(), "unreadable": tally.unreadable}
        self._stream.write("\n ],\n" + json.dumps(end, indent=1)[2:] + "\n")


class HtmlFile(_File):
    """A page in one file: the count, the images that the model is not sure of, and the first ones of each class."""

    def begin(self) -> None:
        """Prepare for the pictures."""
        self._unsure: list[dict[str, Any]] = []
        self._by_class: dict[str, list[dict[str, Any]]] = {name: [] for name in self._predictor.class_names}
        self._unreadable: list[Unreadable] = []

    def add(self, one: Prediction | Unreadable) -> None:
        """Keep the picture of an image, if there is room for it."""
        if isinstance(one, Unreadable):
            self._unreadable += [one] if len(self._unreadable) < PAGE_IMAGES else []
            return
        place = self._by_class[one.label] if one.sure else self._unsure
        if len(place) < PAGE_IMAGES:
            place.append(with_picture(one, self._predictor.class_names))

    def finish(self, tally: Tally) -> None:
        """Write the page."""
        from bloodtune.inference.templates import render

        page = render(
            "count.html.j2",
            predictor=self._predictor,
            tally=tally,
            rows=[(row, tally.unsure[row.label], *row.cells()) for row in tally.rows()],
            unsure=self._unsure,
            by_class=self._by_class,
            unreadable=self._unreadable,
            note=FOR_RESEARCH,
            made=f"{datetime.now():%Y-%m-%d %H:%M}",
        )
        self._stream.write(page)


def as_mapping(one: Prediction | Unreadable, class_names: tuple[str, ...]) -> dict[str, Any]:
    """Return what is said of an image as JSON has it."""
    if isinstance(one, Unreadable):
        return {"file": one.source, "error": one.reason}
    return {
        "file": one.source,
        "class": one.label,
        "probability": round(one.probability, 6),
        "second": one.second,
        "second_probability": round(one.second_probability, 6),
        "sure": one.sure,
        "probabilities": {n: round(float(p), 6) for n, p in zip(class_names, one.probabilities, strict=True)},
    }


def with_picture(one: Prediction, class_names: tuple[str, ...]) -> dict[str, Any]:
    """Return the same with the picture, a JPEG file in base64, for a page."""
    return as_mapping(one, class_names) | {"picture": base64.b64encode(one.picture).decode()}


def _print_images(console: Console, title: str, images: list[Prediction], total: int) -> None:
    table = _table(title)
    table.add_column("file", no_wrap=True)
    table.add_column("class", no_wrap=True)
    table.add_column("", justify="right", min_width=5)
    table.add_column("second choice", no_wrap=True)
    table.add_column("", justify="right", min_width=5, style="dim")
    for one in images:
        shown = (Path(one.source).name, one.label if one.sure else f"{one.label} ?", f"{one.probability:.3f}")
        second = (one.second, f"{one.second_probability:.3f}")
        table.add_row(*(Text(cell) for cell in (*shown, *second)), style="" if one.sure else "yellow")
    console.print(table)
    if total > len(images):
        console.print(f"the first {len(images)} of {total:,}; --csv or --json FILE has all\n", style="dim")


def _count_table(tally: Tally) -> Table:
    rows = tally.rows()
    blood = rows[0].unit == OF_LEUKOCYTES
    table = _table("Differential count" if blood else "Count")
    table.add_column("class", no_wrap=True)
    table.add_column("images", justify="right")
    table.add_column("unsure", justify="right")
    table.add_column("share", justify="right")
    table.add_column("95 % CI", justify="right", no_wrap=True)
    table.add_column("unit", no_wrap=True)
    for row in rows:
        unsure = tally.unsure[row.label]
        table.add_row(Text(row.label), f"{row.images:,}", f"{unsure:,}" if unsure else "", *row.cells(), row.unit)
    return table


def _table(title: str) -> Table:
    return Table(
        title=Text(title, "bold"), title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0)
    )
