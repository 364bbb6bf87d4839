"""Writers of an evaluation: screen tables, CSV, JSON, and an HTML page with the pictures of mistakes."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

import numpy as np
from rich.console import Console

from bloodtune.errors import printable, spreadsheet_cell
from bloodtune.inference.differential import Prediction
from bloodtune.inference.evaluation import Evaluation
from bloodtune.inference.heat_map import heat_pictures
from bloodtune.inference.predictor import Predictor
from bloodtune.inference.templates import png_text, render
from bloodtune.inference.terminal_output import screen_text, simple_table
from bloodtune.inference.writers import FOR_RESEARCH, PAGE_IMAGES, with_picture
from bloodtune.training.metrics import Interval

Pairs = Sequence[tuple[int, Prediction]]  # index of the true class, prediction

_SCORES = {
    "accuracy": "accuracy",
    "macro_f1": "macro-F1",
    "calibration_error": "calibration error",
    "kept": "kept by the threshold",
    "kept_accuracy": "accuracy of the kept",
}
_CLASSES, _COUNT = ("class", "images", "recall", "precision", "F1"), ("class", "true", "counted", "unit")


def print_evaluation(evaluation: Evaluation, notes: Sequence[str]) -> None:
    """Print the scores, the confusion matrix and the counts."""
    console = Console()
    _print(console, f"{len(evaluation.labels):,} images", ("score", "%", "95 % CI"), score_rows(evaluation))
    _print(console, "Classes, % with 95 % CI", _CLASSES, class_rows(evaluation))
    header, rows = matrix_rows(evaluation)
    for number, name in enumerate(evaluation.class_names, start=1):
        rows[number - 1][0] = f"{number} {name}"
    columns = [header[0], *map(str, range(1, len(header)))]
    _print(console, "Confusion matrix (rows: true, columns: predicted)", columns, rows)
    _print(console, "Count, with 95 % CI", _COUNT, count_rows(evaluation))
    for note in notes:
        console.print(printable(f"{note}."), highlight=False, markup=False, soft_wrap=True)
    console.print(FOR_RESEARCH, highlight=False)


def score_rows(evaluation: Evaluation) -> list[list[str]]:
    """Return name, value and interval of each score, in percent."""
    return [[name, *_cells(evaluation.scores[key])] for key, name in _SCORES.items()]


def class_rows(evaluation: Evaluation) -> list[list[str]]:
    """Return one row per class with images: name, number, recall, precision and F1 in percent with intervals."""
    rows = []
    for row in evaluation.classes:
        cells = [_cells(row[key]) for key in ("recall", "precision", "f1")]
        shares = [f"{value} ({interval})" if interval else value for value, interval in cells]
        rows.append([row["class"], f"{row['images']:,}", *shares])
    return rows


def matrix_rows(evaluation: Evaluation) -> tuple[list[str], list[list[str]]]:
    """Return the header and the rows of the confusion matrix; zeros are empty."""
    rows = zip(evaluation.class_names, evaluation.matrix, strict=True)
    cells = [[name, *(f"{count:,}" if count else "" for count in counts.tolist())] for name, counts in rows]
    return ["true", *evaluation.class_names], cells


def count_rows(evaluation: Evaluation) -> list[list[str]]:
    """Return the true and the predicted differential count, with the interval of the predicted one."""
    rows = []
    for true, predicted in evaluation.counts:
        value, interval = predicted.cells()
        counted = f"{value} ({interval})" if value else f"{predicted.images:,}"
        rows.append([true.label, true.cells()[0] or f"{true.images:,}", counted, predicted.unit])
    return rows


def to_csv(predictor: Predictor, evaluation: Evaluation, pairs: Pairs, notes: Sequence[str]) -> str:
    """Return one row per image."""
    stream = io.StringIO(newline="")
    writer = csv.writer(stream, lineterminator="\n")
    names = predictor.class_names
    cells = [spreadsheet_cell(name) for name in names]
    writer.writerow(["file", "true", "class", "correct", "probability", "sure", "known", *cells])
    for label, one in pairs:
        correct, sure, known = (str(value).lower() for value in (names[label] == one.label, one.sure, one.known))
        numbers = [f"{value:.6f}" for value in one.probabilities]
        texts = map(spreadsheet_cell, (one.source, names[label], one.label))
        writer.writerow([*texts, correct, f"{one.probability:.6f}", sure, known, *numbers])
    return stream.getvalue()


def to_json(predictor: Predictor, evaluation: Evaluation, pairs: Pairs, notes: Sequence[str]) -> str:
    """Return model, scores, matrix and counts."""
    content = {"model": predictor.card, **evaluation.to_mapping(), "notes": list(notes)}
    return json.dumps(content, indent=1) + "\n"


def to_html(predictor: Predictor, evaluation: Evaluation, pairs: Pairs, notes: Sequence[str]) -> str:
    """Return the page."""
    names = predictor.class_names
    mistakes = [(names[label], one) for label, one in pairs if names[label] != one.label]
    return render(
        "evaluation.html.j2",
        predictor=predictor,
        images=len(pairs),
        tables=[
            ("Scores", ["score", "%", "95 % CI"], score_rows(evaluation)),
            ("Classes, % with 95 % CI", list(_CLASSES), class_rows(evaluation)),
            ("Confusion matrix (rows: true, columns: predicted)", *matrix_rows(evaluation)),
            ("Count, with 95 % CI", list(_COUNT), count_rows(evaluation)),
        ],
        notes=notes,
        mistakes=_with_heat(predictor, mistakes[:PAGE_IMAGES]),
        total=len(mistakes),
        note=FOR_RESEARCH,
        made=f"{datetime.now():%Y-%m-%d %H:%M}",
    )


WRITERS: dict[str, Callable[[Predictor, Evaluation, Pairs, Sequence[str]], str]] = {
    "csv": to_csv,
    "json": to_json,
    "html": to_html,
}


def _with_heat(predictor: Predictor, mistakes: Sequence[tuple[str, Prediction]]) -> list[dict[str, Any]]:
    """Return picture and heat map of each prediction that has a tile, with its true class."""
    if not mistakes:
        return []
    names = predictor.class_names
    tiles = np.stack([one.tile for _, one in mistakes if one.tile is not None])
    predicted = np.array([names.index(one.label) for _, one in mistakes])
    heat = heat_pictures(predictor.network.logits, tiles, predicted)
    return [
        with_picture(one, names) | {"true": true, "explained": png_text(picture)}
        for (true, one), picture in zip(mistakes, heat, strict=True)
    ]


def _cells(score: Interval | None) -> tuple[str, str]:
    if score is None:
        return "–", ""
    return f"{100 * score.value:.1f}", f"{100 * score.low:.1f}–{100 * score.high:.1f}"


def _print(console: Console, title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    console.print(screen_text(title, "bold"))  # a title of the table would be wrapped at the table's width
    table = simple_table("")
    for number, column in enumerate(columns):
        table.add_column(screen_text(column), justify="right" if number else "left")
    for row in rows:
        table.add_row(*map(screen_text, row))
    console.print(table)
