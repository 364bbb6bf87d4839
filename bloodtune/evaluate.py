"""The command `evaluate`: labelled images in, scores of a model with intervals out.

torch and the modules that use it are imported inside functions, so that `--help` and errors in flags appear at once.
"""

from __future__ import annotations

import argparse
import dataclasses
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from rich.console import Console
from rich.progress import Progress

from bloodtune import command_line as flags
from bloodtune.command_line import leave, print_lines, run_action
from bloodtune.errors import InputError
from bloodtune.files import replace
from bloodtune.inference.class_names import find_class
from bloodtune.inference.differential import Prediction, Unreadable
from bloodtune.inference.evaluation import Evaluation
from bloodtune.inference.writers import CSV_ENCODING, PAGE_IMAGES
from bloodtune.predict import MODEL_HELP, choose_model, load_predictor, output_files

if TYPE_CHECKING:
    from bloodtune.inference.predictor import Image, Predictor

_PREVIEW = 96  # pixels


def main(argv: Sequence[str] | None = None) -> int:
    """Evaluate a model.

    Returns:
        0 on success, 1 if no image could be read or a file could not be written, 2 for unusable input, 130 after
        Ctrl-C.
    """
    arguments = _parser().parse_args(argv)
    return run_action("evaluate", lambda: _evaluate(arguments))


def _evaluate(arguments: argparse.Namespace) -> int:
    files = output_files(arguments)
    predictor = load_predictor(choose_model(arguments.model, "evaluate"), arguments.threshold, "evaluate")
    images, labels, unknown, notes = _read(Path(arguments.path), predictor)
    console = Console(stderr=True)
    found = predictor.predict(
        images, crop=arguments.crop, preview=_PREVIEW if "html" in files else 0, workers=arguments.workers
    )
    true = {image.name: label for image, label in zip(images, labels, strict=True)}
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        pairs, unreadable = _judge(progress.track(found, len(images), description="images"), true, predictor)
    if not pairs:
        first = f"{unreadable[0].source}: {unreadable[0].reason}"
        print_lines(f"evaluate: none of {len(images):,} images could be read, such as {first}")
        return 1
    from bloodtune.inference.evaluation_writers import WRITERS, print_evaluation

    evaluation = _make(predictor, pairs, unknown, unreadable)
    notes += evaluation.notes()
    for kind, file in files.items():
        encoding = CSV_ENCODING if kind == "csv" else "utf-8"
        replace(file, WRITERS[kind](predictor, evaluation, pairs, notes).encode(encoding))
    print_evaluation(evaluation, notes)
    print_lines(*(f"evaluate: {file} written" for file in files.values()))
    return 0


def _judge(
    found: Iterable[Prediction | Unreadable], true: Mapping[str, int], predictor: Predictor
) -> tuple[list[tuple[int, Prediction]], tuple[Unreadable, ...]]:
    """Return each prediction with the index of its true class, and the unreadable files.

    ``true`` has the index for each image's name, which all pages of a file share. Only mistakes that a page shows keep
    their pictures.
    """
    pairs, unreadable, mistakes = list[tuple[int, Prediction]](), list[Unreadable](), 0
    for one in found:
        if isinstance(one, Unreadable):
            unreadable.append(one)
            continue
        label = true[one.source] if one.source in true else true[one.source.rpartition(":")[0]]
        is_wrong = predictor.class_names[label] != one.label
        mistakes += is_wrong
        shown = is_wrong and mistakes <= PAGE_IMAGES
        pairs.append((label, one if shown else dataclasses.replace(one, picture=b"", tile=None)))
    return pairs, tuple(unreadable)


def _read(path: Path, predictor: Predictor) -> tuple[list[Image], list[int], Counter[str], list[str]]:
    """Return the images of known classes, the classes' indices, the others by class name, and notes."""
    from bloodtune.inference.labelled_images import read_labelled

    labelled, notes = read_labelled(path, predictor.class_names)
    known = {label: find_class(label, predictor.class_names) for _, label in labelled}
    unknown = Counter(label for _, label in labelled if known[label] is None)
    kept = [(image, index) for image, label in labelled if (index := known[label]) is not None]
    if not kept:
        names = ", ".join(map(repr, sorted(unknown)[:12]))
        raise InputError(f"{path} has the classes {names}; the model knows {', '.join(predictor.class_names)}")
    expected = (predictor.size, predictor.size, predictor.channels)
    shapes = {image.content.shape for image, _ in kept if hasattr(image.content, "shape")}
    if wrong := shapes - {expected}:
        raise InputError(f"{path} has images of {wrong.pop()}; this model takes {expected}")
    return (
        [image for image, _ in kept],
        [index for _, index in kept],
        unknown,
        notes + _training_note(path, predictor, notes),
    )


def _training_note(path: Path, predictor: Predictor, notes: Sequence[str]) -> list[str]:
    """Return a sentence if the images may be those of the training, as the name of their folder or file says."""
    from bloodtune.inference.labelled_images import ONLY_TEST

    title = path.name if path.is_dir() else path.parent.name if path.suffix.lower() == ".csv" else path.stem
    data = predictor.card["data"]
    if ONLY_TEST in notes or title != data.get("title") or "split_sizes" not in data:
        return []
    trained = f"the model was trained on {data['split_sizes']['train']:,} images of a data set named {title}"
    return [f"{trained}: if they are among the images here, the scores are too good (see splits.csv of the run)"]


def _make(
    predictor: Predictor,
    pairs: Sequence[tuple[int, Prediction]],
    unknown: Counter[str],
    unreadable: tuple[Unreadable, ...],
) -> Evaluation:
    labels = np.array([label for label, _ in pairs])
    probabilities = np.stack([one.probabilities for _, one in pairs])
    known = np.array([one.known for _, one in pairs])
    return Evaluation(predictor.class_names, labels, probabilities, predictor.threshold, unknown, unreadable, known)


def _parser() -> argparse.ArgumentParser:
    parser = flags.OneLineParser(
        prog="python -m bloodtune.evaluate",
        description="Score a model on labelled images: a folder with one folder per class, a folder with\n"
        "metadata.csv or labels.csv (columns file_name and label), such a table, or an .npz file.\n"
        "If there are splits, only the test split is used.",
    )
    add = parser.add_argument
    add("path", metavar="PATH", help="a folder, a table or an .npz file")
    add("--model", metavar="DIR", help=MODEL_HELP)
    add(
        "--crop",
        type=flags.positive,
        metavar="N",
        help="take the middle N x N pixels; smaller photographs are left out",
    )
    add("--threshold", type=flags.share, metavar="P", help="threshold of sure predictions (default: the model's own)")
    add("--csv", metavar="FILE", help="write one row per image, with its true class and all probabilities")
    add("--json", metavar="FILE", help="write all scores, the confusion matrix and the counts")
    add("--html", metavar="FILE", help="write a page with the scores and the pictures of mistakes in one file")
    add("--workers", type=flags.positive, metavar="N", help="number of threads (default: one per core)")
    return parser


if __name__ == "__main__":
    leave(main())
