"""Writers of a count: CSV, JSON, and an HTML page with pictures.

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

from bloodtune.errors import spreadsheet_cell
from bloodtune.inference.differential import FieldCount, Prediction, Result, Tally, Unreadable
from bloodtune.inference.manual_count import METHOD, compare_counts

if TYPE_CHECKING:
    from bloodtune.inference.predictor import Predictor

# Images on the page; CSV and JSON files list all images.
PAGE_IMAGES = 120
PAGE_FIELDS, FIELD_PREVIEW = 30, 900  # fields on the page, and their longest side in pixels

CSV_ENCODING = "utf-8-sig"  # with a byte order mark, so that Excel shows umlauts
FOR_RESEARCH = "For research, not for diagnosis."


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

    Text that Excel would run as a formula has an apostrophe before it.
    """

    encoding = CSV_ENCODING

    def begin(self) -> None:
        """Write the header."""
        self._writer = csv.writer(self._stream, lineterminator="\n")
        names = map(spreadsheet_cell, self._predictor.class_names)
        columns = ["class", "probability", "second", "second_probability", "sure", "known", "error", *names]
        self._writer.writerow(["file", *self._place("field", "box"), *columns])

    def add(self, result: Result) -> None:
        """Write the row of an image."""
        if isinstance(result, FieldCount):
            if result.cells:
                return
            result = Unreadable(result.source, "; ".join(result.notes))
        if isinstance(result, Unreadable):
            blank = [""] * len(self._predictor.class_names)
            self._writer.writerow(
                [spreadsheet_cell(result.source), *self._place(), *[""] * 6, spreadsheet_cell(result.reason), *blank]
            )
            return
        numbers = [f"{value:.6f}" for value in result.probabilities]
        first, second = spreadsheet_cell(result.label), spreadsheet_cell(result.second)
        best = [first, f"{result.probability:.6f}", second, f"{result.second_probability:.6f}"]
        place = self._place(spreadsheet_cell(result.field), json.dumps(result.box))
        judged = [str(result.sure).lower(), str(result.known).lower()]
        self._writer.writerow([spreadsheet_cell(result.source), *place, *best, *judged, "", *numbers])

    def finish(self, tally: Tally) -> None:
        """Do nothing: the file has no count."""

    def _place(self, field: str = "", box: str = "") -> tuple[str, ...]:
        return (field, box) if self._finding else ()


class JsonFile(_File):
    """A JSON file with one object: model, images, count."""

    def begin(self) -> None:
        """Write the model and open the list of images."""
        predictor = self._predictor
        head = {"model": predictor.card, "threshold": predictor.threshold, "warning": predictor.caveat}
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
        end = {"count": rows, "unsure": tally.unsure.total(), "unknown": tally.unknown}
        end |= {"alarm": tally.alarm, "unreadable": tally.unreadable}
        if tally.manual:
            end["manual"] = [one.as_mapping() for one in compare_counts(tally)]
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
            compared=compare_counts(tally),
            method=METHOD,
            unsure=self._unsure,
            by_class=self._by_class,
            unreadable=self._unreadable,
            fields=[(one, base64.b64encode(one.preview).decode()) for one in self._fields],
            note=FOR_RESEARCH,
            made=f"{datetime.now():%Y-%m-%d %H:%M}",
        )
        self._stream.write(page)


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
        "known": result.known,
        "probabilities": {n: round(float(p), 6) for n, p in zip(class_names, result.probabilities, strict=True)},
    }


def with_picture(result: Prediction, class_names: tuple[str, ...]) -> dict[str, Any]:
    """Return ``as_mapping`` with the digest, and the picture as a JPEG file in base64."""
    picture = base64.b64encode(result.picture).decode()
    return as_mapping(result, class_names) | {"digest": result.digest, "picture": picture}
