"""A report's material and its page, made from invented results."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from bloodtune.run.directory import PROVENANCE
from figures.search import best_so_far, learning_curves
from figures.style import CaptionedFigure
from report.markdown import to_markdown
from report.material import Material
from report.outline import compose
from report.page import MOST_ERRORS, PAGE, write_page
from summary_fixtures import fake_contenders, fake_provenance, fake_run, make_summary
from tables.all_tables import all_tables

FIGURES = {
    "first_samples": "The first ten * images.",
    "best_so_far": "Best so far.",
    "mlnn_training_loss": "Training loss.",
    "confusion_lightweight": "Counts.",
    "unheard_of": "Something else.",
}


def make_material(
    folder: Path,
    *,
    classes: int = 8,
    synthetic: bool = False,
    keep: str = "",
    figures: dict[str, str] = FIGURES,
) -> Material:
    tested, labels, names = fake_contenders(classes=classes)
    tested = [one for one in tested if re.search(keep, one.contender.label)]
    run = fake_run(folder / "a_run", synthetic=synthetic)
    if classes != 8:
        provenance = fake_provenance(synthetic, tuple(names))
        provenance["data"]["class_counts"] = {"train": [1, 2], "val": [3, 4], "test": [5, 6]}
        run.write_json(PROVENANCE, provenance)
    summary = make_summary(run, tested, labels, names)
    drawn = {name: CaptionedFigure(Figure(), caption) for name, caption in figures.items()}
    return Material(summary, all_tables(summary, np.random.default_rng(0)), drawn)


def report(material: Material) -> str:
    """Return the report of the material as Markdown."""
    return to_markdown(compose(material))


def write(folder: Path, *, synthetic: bool = False, classes: int = 8) -> tuple[str, Material]:
    """Return the page of two drawn figures, whose captions have characters of HTML, and its material."""
    material = make_material(folder, synthetic=synthetic, classes=classes, figures={})
    search = material.summary.search
    figures = {"best_so_far": best_so_far(search, "x"), "learning_curves": learning_curves(search, (1, 3), "x")}
    figures = {
        name: CaptionedFigure(one.figure, "A <b> & c.", one.note, one.mark, one.titles) for name, one in figures.items()
    }
    material = Material(material.summary, material.tables, figures)
    explained = [np.zeros((28, 28, 3), np.uint8)] * min(len(material.summary.mistakes), MOST_ERRORS)
    file = write_page(material.summary, compose(material), folder, explained)
    assert file == folder / PAGE
    return file.read_text(encoding="utf-8"), material
