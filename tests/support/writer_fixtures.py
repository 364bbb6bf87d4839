"""Predictions of two classes, cells of fields, and what the writers make of them."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from bloodtune.inference.differential import FieldCount, Prediction, Result, Tally, Unreadable

NAMES = ("benign", "malignant")
CAVEAT = "Trained on <one> stain."


def make_predictor(class_names: tuple[str, ...] = NAMES, **card: Any) -> Any:
    """Return what the writers read of a predictor."""
    card = {"label": "search #7", "run": "night", "configuration": {"family": "cnn"}, "data": {}} | card
    flags = {"synthetic": False, "untested": False, "caveat": CAVEAT}
    return SimpleNamespace(class_names=class_names, threshold=0.75, card=card, size=28, **flags)


def make_prediction(
    source: str, *probabilities: float, class_names: Sequence[str] = NAMES, picture: bytes = b""
) -> Prediction:
    """Make the prediction of an image; it is sure from 0.75 on."""
    order = np.argsort(probabilities)[::-1]
    label, second = class_names[order[0]], class_names[order[1]]
    values = np.array(probabilities, dtype=np.float32)
    return Prediction(source, label, second, values, bool(values.max() >= 0.75), source, picture)


def tally_of(results: Sequence[Prediction | Unreadable], class_names: tuple[str, ...] = NAMES) -> Tally:
    tally = Tally(class_names)
    for result in results:
        tally.add(result)
    return tally


def write(kind: Any, file: Path, results: Sequence[Prediction | Unreadable], predictor: Any = None) -> str:
    """Write results with one of the writers of files; return what is in the file."""
    predictor = predictor or make_predictor()
    with kind(file, predictor) as writer:
        for result in results:
            writer.add(result)
        writer.finish(tally_of(results, predictor.class_names))
    assert os.listdir(file.parent) == [file.name]
    return file.read_bytes().decode()


SURE = make_prediction("cells/a, 1.jpg", 0.125, 0.875)
UNSURE = make_prediction("b.jpg", 0.625, 0.375)
TEXT = Unreadable("c.jpg", 'not a "picture"')


def write_fields(kind: Any, file: Path, results: Sequence[Result]) -> str:
    """Write cells and fields as ``predict --find`` does; return what is in the file."""
    tally = Tally(NAMES, finding=True)
    with kind(file, make_predictor(), True) as writer:
        for result in results:
            tally.add(result)
            writer.add(result)
        writer.finish(tally)
    return file.read_bytes().decode()


CELL = dataclasses.replace(make_prediction("f/a.jpg:cell 1", 0.9, 0.1), field="a.jpg", box=(1, 2, 30, 40))
FIELDS: list[Result] = [
    CELL,
    FieldCount("f/a.jpg", 1, 2, 3, 0.07, "12 red cells", (), b"png", b"jpg"),
    FieldCount("f/b.jpg", 0, 0, 1, 0.08, "nuclei", ("no nucleated cell", "<b>"), b"png", b"jpg"),
    Unreadable("f/c.jpg", "out of focus"),
]
