"""Adaptation to another laboratory: accuracy against the number of labelled cells, beside training from scratch.

python benchmarks/adaptation.py FOLDER --model DIR --crop 88            20, 50, 100 and 200 cells, five draws each
python benchmarks/adaptation.py ... --first-draw 100                    other draws
"""

from __future__ import annotations

import argparse
import csv
import dataclasses
import json
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator
from scipy.stats import t

from bloodtune.adaptation.adapted_model import adapt
from bloodtune.command_line import OneLineParser, positive, seed
from bloodtune.data.folder_listing import Listing, list_folder
from bloodtune.data.labelled_folder import LabelledFolder, read_labelled_folder
from bloodtune.data.npz import Split
from bloodtune.data.preparation import Preparation
from bloodtune.files import append
from bloodtune.inference.calibrated_network import Deployment
from bloodtune.inference.classifier import Classifier
from bloodtune.inference.default_model import find_model
from bloodtune.training import metrics
from bloodtune.training.device_splits import DeviceSplits
from bloodtune.training.numerics import Numerics
from bloodtune.training.process_setup import prepare_process
from bloodtune.training.trainer import Training

KINDS = {"adapted": "adapted", "scratch": "from scratch"}
COLOURS = ("#2a9d4e", "#9a9a9a")
LEAST = 2  # labelled cells of each class: adaptation and training need two
SCRATCH_IMAGES = 12_000  # seen in a training from scratch, four times as many as in an adaptation


def draw_cells(labels: Sequence[str], cells: int, generator: np.random.Generator) -> np.ndarray:
    """Return the indices of ``cells`` cells: each class by its share, and two of it at least."""
    names, counts = np.unique(labels, return_counts=True)
    wanted = counts * cells / len(labels)
    taken = np.maximum(LEAST, np.floor(wanted)).astype(int)
    while (missing := cells - taken.sum()) != 0:
        gap = (wanted - taken) * np.sign(missing)
        taken[np.argmax(np.where((missing > 0) | (taken > LEAST), gap, -np.inf))] += np.sign(missing)
    order = generator.permutation(len(labels))
    rows = [order[np.asarray(labels)[order] == name][:some] for name, some in zip(names, taken, strict=True)]
    return np.concatenate(rows)


def write_table(folder: Path, root: Path, listing: Listing, train: np.ndarray) -> Path:
    """Write a table of the photographs in which those of the indices ``train`` are for training, the rest for test."""
    chosen = set(train.tolist())
    with (folder / "labels.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(("file_name", "label", "split"))
        for number, row in enumerate(listing.rows):
            place = os.path.relpath(root / row.file, folder)
            writer.writerow((place, row.label, "train" if number in chosen else "test"))
    return folder / "labels.csv"


def train_from_scratch(model: Classifier, data: LabelledFolder, draw: int) -> tuple[float, float]:
    """Train the model's network anew on the labelled cells; return accuracy and macro-F1 on the test split."""
    train = data.dataset.train
    epochs = SCRATCH_IMAGES // len(train.labels)
    configuration = dataclasses.replace(model.configuration, batch_size=16, learning_rate=0.03, schedule="cosine")
    splits = DeviceSplits.load(train, data.dataset.val)
    training = Training(configuration, splits, max_epochs=epochs, seed=draw, numerics=Numerics(model.precision))
    for _ in range(epochs):
        training.train_epoch()
    names = data.dataset.class_names
    made = dataclasses.replace(model, network=training.network, configuration=configuration, class_names=names)
    return score(made, data.test)


def score(classifier: Classifier, test: Split | None) -> tuple[float, float]:
    """Return accuracy and macro-F1, predicted as in use."""
    assert test is not None
    predicted = Deployment(classifier).predict(test.images).argmax(1)
    classes = max(len(classifier.class_names), int(test.labels.max()) + 1)
    matrix = metrics.confusion_matrix(test.labels, predicted, classes)
    return float(metrics.accuracy(matrix)), float(metrics.macro_f1(matrix))


def run_draw(arguments: argparse.Namespace, listing: Listing, cells: int, draw: int) -> dict[str, object]:
    """Adapt the model, and train it from scratch, on one draw of cells; score both on all the other cells."""
    model, started = Classifier.load(find_model(arguments.model)), time.perf_counter()
    train = draw_cells([row.label for row in listing.rows], cells, np.random.default_rng(draw))
    with tempfile.TemporaryDirectory() as folder:
        table = write_table(Path(folder), Path(arguments.folder), listing, train)
        data = read_labelled_folder(table, Preparation(size=model.size, crop=arguments.crop))
    adapted = adapt(model, [data], name=arguments.model, seed=draw, advance=lambda share: None, quick=arguments.quick)
    seconds = time.perf_counter() - started
    return {
        "cells": cells,
        "draw": draw,
        "adapted": score(adapted.classifier, data.test),
        "scratch": train_from_scratch(model, data, draw),
        "settings": adapted.card["adapted"]["settings"],
        "seconds": round(seconds),
    }


def summarize(file: Path) -> dict[str, dict[int, list[tuple[float, float, float]]]]:
    """Return per kind of training and number of cells: mean, half interval and draws of accuracy and of macro-F1."""
    rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    return {
        kind: {
            cells: [interval([row[kind][at] for row in rows if row["cells"] == cells]) for at in (0, 1)]
            for cells in sorted({row["cells"] for row in rows})
        }
        for kind in KINDS
    }


def print_table(file: Path) -> None:
    """Print means over draws and 95 % intervals of these means (t distribution)."""
    print(f"{'training':14} cells draws  {'accuracy':16} macro-F1")
    for kind, by_cells in summarize(file).items():
        for cells, scores in by_cells.items():
            text = "  ".join(f"{mean:6.1%} ± {half:5.1%}" for mean, half, _ in scores)
            print(f"{KINDS[kind]:14} {cells:5} {scores[0][2]:5}  {text}")


def draw_figure(file: Path, picture: Path) -> None:
    """Draw accuracy and macro-F1 against the number of labelled cells."""
    matplotlib.use("Agg")
    figure = Figure(figsize=(8, 3.4), layout="constrained")
    for at, (axes, name) in enumerate(zip(figure.subplots(1, 2), ("accuracy", "macro-F1"), strict=True)):
        for (kind, by_cells), colour in zip(summarize(file).items(), COLOURS, strict=True):
            means, halves = zip(*(scores[at][:2] for scores in by_cells.values()), strict=True)
            bars = {"marker": "o", "capsize": 3, "color": colour, "label": KINDS[kind]}
            axes.errorbar(list(by_cells), 100 * np.array(means), 100 * np.array(halves), **bars)
        axes.set_xscale("log")
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_xticks(list(by_cells), list(map(str, by_cells)))
        axes.set_title(f"{name}, %", loc="left", fontsize=10)
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(axis="y", alpha=0.3)
    axes.legend(frameon=False, loc="lower right")
    figure.supxlabel("labelled cells", fontsize=9)
    figure.savefig(picture, dpi=150)


def interval(values: Sequence[float]) -> tuple[float, float, int]:
    """Return the mean, half of the 95 % interval of the mean by the t distribution, and the number of values."""
    half = t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / np.sqrt(len(values)) if len(values) > 1 else 0.0
    return float(np.mean(values)), float(half), len(values)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the draws that ``--out`` lacks, then print the table."""
    parser = OneLineParser(prog="benchmark", description=__doc__ or "")
    parser.add_argument("folder", help="labelled photographs, each class with two at least")
    parser.add_argument("--model", required=True, help="folder of the trained model")
    parser.add_argument("--crop", type=positive, help="as in adapt")
    parser.add_argument("--without", action="append", default=[], help="leave a class out")
    parser.add_argument("--quick", action="store_true", help="as in adapt")
    parser.add_argument("--cells", type=positive, nargs="+", default=[20, 50, 100, 200], help="labelled cells")
    parser.add_argument("--draws", type=positive, default=5, help="draws (default: %(default)s)")
    parser.add_argument("--first-draw", type=seed, default=0, help="number of the first draw (default: %(default)s)")
    parser.add_argument("--out", default="adaptation.jsonl", help="one line per draw; draws in it are not repeated")
    parser.add_argument("--figure", metavar="PNG", help="draw the table")
    arguments = parser.parse_args(argv)
    prepare_process("cpu")
    file = Path(arguments.out)
    known = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()] if file.exists() else []
    done = {(row["cells"], row["draw"]) for row in known}
    listing = list_folder(Path(arguments.folder))
    rows = tuple(row for row in listing.rows if row.label not in arguments.without)
    for draw in range(arguments.first_draw, arguments.first_draw + arguments.draws):
        for cells in arguments.cells:
            if (cells, draw) not in done:
                found = run_draw(arguments, dataclasses.replace(listing, rows=rows), cells, draw)
                append(file, json.dumps(found) + "\n")
    print_table(file)
    if arguments.figure:
        draw_figure(file, Path(arguments.figure))
    return 0


if __name__ == "__main__":
    sys.exit(main())
