"""A report's material and its page, made from invented results."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from bloodtune.data.npz import Split
from bloodtune.run.directory import PROVENANCE
from bloodtune.tuning.contender import TestedContender
from figures.search import best_so_far, learning_curves
from report.page import PAGE, write_page
from report.text import Material
from scores import measure
from selection import choose
from summary_fixtures import fake_contenders, fake_provenance, fake_run
from tables.collection import all_tables

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
    generator = np.random.default_rng(0)
    measured = {one.contender.label: measure(one, labels, generator, 50) for one in tested}
    choices = choose([one.contender for one in tested])
    tables = all_tables(run, tested, measured, labels, names, choices, generator)
    return Material(run, tested, measured, names, choices, tables, figures)


def write(folder: Path, *, synthetic: bool = False, classes: int = 8) -> tuple[str, Material, TestedContender, Split]:
    figures_drawn = ("best_so_far", "learning_curves")
    material = make_material(
        folder, synthetic=synthetic, classes=classes, figures=dict.fromkeys(figures_drawn, "A <b> & c.")
    )
    run = material.run
    figures = {"best_so_far": best_so_far(run, "Data."), "learning_curves": learning_curves(run, (1, 3), "Data.")}
    labels = fake_contenders(classes=classes)[1]
    images = np.random.default_rng(0).integers(0, 256, (len(labels), 28, 28, 3), dtype=np.uint8)
    best = next(one for one in material.tested if one.contender.label == material.choices.best)
    test = Split(images, labels)
    file = write_page(material, figures, best, test, folder)
    assert file == folder / PAGE
    return file.read_text(encoding="utf-8"), material, best, test
