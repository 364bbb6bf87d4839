"""Writers of a count: screen tables, CSV, JSON, and an HTML page with pictures.

The function that renders the page imports jinja2, so that the other writers do not need it.
"""

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

from bloodtune.inference.differential import OF_LEUKOCYTES, FieldCount, Prediction, Result, Tally, Unreadable

if TYPE_CHECKING:
    from bloodtune.inference.predictor import Predictor

# Images per list on the screen and on the page; CSV and JSON files list all images.
SCREEN_IMAGES, PAGE_IMAGES = 20, 120
PAGE_FIELDS, FIELD_PREVIEW = 30, 900  # fields on the page, and their longest side in pixels

FOR_RESEARCH = "For research, not for diagnosis."


class Screen:
    """Tables on standard output: first images, unsure images, count."""

    def __init__(self, predictor: Predictor) -> None:
        self._threshold = predictor.threshold
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
        if self._unsure and tally.images > len(self._images):
            _print_images(console, unsure, self._unsure, tally.unsure.total())
        for source, first in tally.copies[:SCREEN_IMAGES]:
            console.print(Text(f"{source}: the same picture as {first}; both are counted", "yellow"), soft_wrap=True)
        for result in self._unreadable:
            console.print(Text(f"{result.source}: {result.reason}", "red"), soft_wrap=True)
        if tally.fields:
            _print_fields(console, tally)
        if tally.images:
            console.print(_count_table(tally))
        console.print(f"{tally.summary(self._threshold)}. {FOR_RESEARCH}", highlight=False, markup=False)


class _File:
    """A file with a temporary name until it is complete."""

    encoding = "utf-8"

    def __init__(self, file: Path, predictor: Predictor, finding: bool = False) -> None:
        self._file = file
        self._predictor = predictor
        self._finding = finding
        self._temporary = file.with_name(f".{file.name}.part")

    def __enter__(self) -> Any:
        self._stream = self._temporary.open("w", encoding=self.encoding, newline="")
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
            self._stream.close()  # flushes, which fails on a full disk
        except OSError:
            self._temporary.unlink()
            raise
        if kind is None:
            self._temporary.replace(self._file)
        else:
            self._temporary.unlink()

    def begin(self) -> None:
        """Write the part before the first image."""


class CsvFile(_File):
    """A CSV file, one row per image: class, probability, second class, whether it is sure, all probabilities.

    The file starts with a byte order mark, so that Excel shows umlauts. Text that Excel would run as a formula has an
    apostrophe before it.
    """

    encoding = "utf-8-sig"

    def begin(self) -> None:
        """Write the header."""
        self._writer = csv.writer(self._stream, lineterminator="\n")
        names = map(_text, self._predictor.class_names)
        columns = ["class", "probability", "second", "second_probability", "sure", "error", *names]
        self._writer.writerow(["file", *self._place("field", "box"), *columns])

    def add(self, result: Result) -> None:
        """Write the row of an image."""
        if isinstance(result, FieldCount):
            if result.cells:
                return
            result = Unreadable(result.source, "; ".join(result.notes))
        if isinstance(result, Unreadable):
            blank = [""] * len(self._predictor.class_names)
            self._writer.writerow([_text(result.source), *self._place(), *[""] * 5, _text(result.reason), *blank])
            return
        numbers = [f"{value:.6f}" for value in result.probabilities]
        first, second = _text(result.label), _text(result.second)
        best = [first, f"{result.probability:.6f}", second, f"{result.second_probability:.6f}"]
        place = self._place(_text(result.field), json.dumps(result.box))
        self._writer.writerow([_text(result.source), *place, *best, str(result.sure).lower(), "", *numbers])

    def finish(self, tally: Tally) -> None:
        """Do nothing: the file has no count."""

    def _place(self, field: str = "", box: str = "") -> tuple[str, ...]:
        return (field, box) if self._finding else ()


class JsonFile(_File):
    """A JSON file with one object: model, images, count."""

    def begin(self) -> None:
        """Write the model and open the list of images."""
        head = {"model": self._predictor.card, "threshold": self._predictor.threshold}
        self._stream.write(json.dumps(head, indent=1)[:-2] + ',\n "images": [')
        self._separator = "\n  "

    def add(self, result: Result) -> None:
        """Write an image."""
        if isinstance(result, FieldCount):
            return
        self._stream.write(self._separator + json.dumps(as_mapping(result, self._predictor.class_names)))
        self._separator = ",\n  "

    def finish(self, tally: Tally) -> None:
        """Write the count."""
        rows = [{"class": row.pop("label"), **row} for row in map(dataclasses.asdict, tally.rows())]
        end = {"count": rows, "unsure": tally.unsure.total(), "unreadable": tally.unreadable}
        end |= {
            "copies": [{"file": file, "copy_of": first} for file, first in tally.copies],
            "left_out": tally.left_out,
        }
        if self._finding:
            end["fields"] = [one.as_mapping() for one in tally.fields]
        self._stream.write("\n ],\n" + json.dumps(end, indent=1)[2:] + "\n")


class HtmlFile(_File):
    """An HTML page in one file: count, unsure images, first images of each class."""

    def begin(self) -> None:
        """Prepare the lists of pictures; the page is written at the end."""
        self._unsure: list[dict[str, Any]] = []
        self._by_class: dict[str, list[dict[str, Any]]] = {name: [] for name in self._predictor.class_names}
        self._unreadable: list[Unreadable] = []
        self._fields: list[FieldCount] = []

    def add(self, result: Result) -> None:
        """Keep the picture of an image for the page while there is room."""
        if isinstance(result, Unreadable):
            self._unreadable += [result] if len(self._unreadable) < PAGE_IMAGES else []
            return
        if isinstance(result, FieldCount):
            self._fields += [result] if len(self._fields) < PAGE_FIELDS else []
            return
        pictures = self._by_class[result.label] if result.sure else self._unsure
        if len(pictures) < PAGE_IMAGES:
            pictures.append(with_picture(result, self._predictor.class_names))

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
            fields=[(one, base64.b64encode(one.preview).decode()) for one in self._fields],
            note=FOR_RESEARCH,
            made=f"{datetime.now():%Y-%m-%d %H:%M}",
        )
        self._stream.write(page)


def _text(cell: str) -> str:
    return f"'{cell}" if cell.startswith(("=", "+", "-", "@", "\t", "\r")) else cell


def as_mapping(result: Prediction | Unreadable, class_names: tuple[str, ...]) -> dict[str, Any]:
    """Return the prediction of an image as a JSON object."""
    if isinstance(result, Unreadable):
        return {"file": result.source, "error": result.reason}
    place = {"field": result.field, "box": list(result.box)} if result.box else {}
    return {
        "file": result.source,
        **place,
        "class": result.label,
        "probability": round(result.probability, 6),
        "second": result.second,
        "second_probability": round(result.second_probability, 6),
        "sure": result.sure,
        "probabilities": {n: round(float(p), 6) for n, p in zip(class_names, result.probabilities, strict=True)},
    }


def with_picture(result: Prediction, class_names: tuple[str, ...]) -> dict[str, Any]:
    """Return ``as_mapping`` with the digest, and the picture as a JPEG file in base64."""
    picture = base64.b64encode(result.picture).decode()
    return as_mapping(result, class_names) | {"digest": result.digest, "picture": picture}


def _print_fields(console: Console, tally: Tally) -> None:
    checked = sorted(tally.fields, key=lambda count: not count.notes)[:SCREEN_IMAGES]
    table = simple_table("Fields")
    table.add_column("field", no_wrap=True)
    for title in ("cells", "cut", "small", "µm/px"):
        table.add_column(title, justify="right")
    table.add_column("to check")
    for one in checked:
        numbers = (f"{one.cells}", f"{one.cut}", f"{one.small}", f"{one.microns_per_pixel:.3f}")
        table.add_row(*map(Text, (Path(one.source).name, *numbers, "; ".join(one.notes))))
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
        first = (Path(image.source).name, image.label if image.sure else f"{image.label} ?", f"{image.probability:.3f}")
        second = (image.second, f"{image.second_probability:.3f}")
        table.add_row(*(Text(cell) for cell in (*first, *second)), style="" if image.sure else "yellow")
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
        table.add_row(Text(row.label), f"{row.images:,}", f"{unsure:,}" if unsure else "", *row.cells(), row.unit)
    return table


def simple_table(title: str) -> Table:
    """Return a table without columns yet, in the style of the screen."""
    return Table(
        title=Text(title, "bold"), title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0)
    )
