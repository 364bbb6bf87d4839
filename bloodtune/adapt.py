"""The command `adapt`: labelled photographs in, a model trained further on them out.

torch and the modules that use it are imported inside functions, so that `--help` and errors in flags appear at once.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import Progress

from bloodtune import command_line as flags
from bloodtune.command_line import leave, print_lines, run_action
from bloodtune.data.labelled_folder import LabelledFolder, read_labelled_folder
from bloodtune.data.preparation import Preparation
from bloodtune.data.tiles import CHANNELS
from bloodtune.errors import InputError
from bloodtune.files import check_replaceable
from bloodtune.predict import MODEL_HELP, choose_model, load_predictor

if TYPE_CHECKING:
    from bloodtune.inference.predictor import Predictor

OUT = "adapted"  # default folder of the adapted model


def main(argv: Sequence[str] | None = None) -> int:
    """Adapt a model to labelled photographs.

    Returns:
        0 on success, 1 if a file could not be written, 2 for unusable input, 130 after Ctrl-C.
    """
    arguments = _parser().parse_args(argv)
    return run_action("adapt", lambda: _adapt(arguments), "no file was written")


def _adapt(arguments: argparse.Namespace) -> int:
    out = Path(arguments.out)
    check_replaceable(out)
    model = choose_model(arguments.model, "adapt")
    predictor = load_predictor(model, 0.0, "adapt")
    folders = _read(arguments, predictor)
    print_lines(*(f"adapt: {note}" for note in folders[0].dataset.notes))
    from bloodtune.adaptation.adapted_model import adapt
    from bloodtune.adaptation.screen import print_adaptation
    from bloodtune.inference.classifier import Classifier

    name = str(predictor.card.get("label") or model.name)
    with _progress() as advance:
        adapted = adapt(
            Classifier.load(model), folders, name=name, seed=arguments.seed, advance=advance, quick=arguments.quick
        )
    adapted.write(out)
    print_adaptation(adapted)
    print_lines(f"adapt: {out} written; predict, evaluate and serve take it with --model {out}")
    return 0


@contextmanager
def _progress() -> Iterator[Callable[[float], None]]:
    """Show the share of the training that is done: a bar with the time left, or a line per percent on stderr."""
    console, told = Console(stderr=True), -1
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("training", total=1)

        def advance(share: float) -> None:
            nonlocal told
            progress.update(task, completed=share)
            if not console.is_terminal and int(100 * share) > told:  # serve reads it
                told = int(100 * share)
                print_lines(f"adapt: {told} % of the training done")

        advance(0.0)
        yield advance


def _read(arguments: argparse.Namespace, predictor: Predictor) -> list[LabelledFolder]:
    if predictor.channels != CHANNELS:
        raise InputError("the model takes grey images; allowed: models of colour images")
    prepared = {"size": predictor.size, "skip_unreadable": arguments.skip_unreadable, "seed": arguments.seed}
    prepared |= {"without": tuple(arguments.without)}
    crops = arguments.crop or [None]
    return [read_labelled_folder(Path(arguments.path), Preparation(crop=crop, **prepared)) for crop in crops]


def _parser() -> argparse.ArgumentParser:
    parser = flags.OneLineParser(
        prog="python -m bloodtune.adapt",
        description="Adapt a trained model to another laboratory: from 20 to 300 labelled photographs, in a\n"
        "folder with one folder per class, in a folder with metadata.csv or labels.csv (columns\n"
        "file_name and label), or in such a table. The classes may differ from the model's.\n"
        "A test split is left out of the training and scored at the end.",
    )
    add = parser.add_argument
    add("path", metavar="LABELLED", help="a folder or a table of labelled photographs")
    add("--model", metavar="DIR", help=MODEL_HELP)
    add("--out", default=OUT, metavar="DIR", help="folder of the adapted model (default: %(default)s)")
    add(
        "--crop",
        type=flags.positive,
        action="append",
        metavar="N",
        help="take the middle N x N pixels of each photograph; may be repeated, and the best N is chosen",
    )
    add("--quick", action="store_true", help="take the usual settings instead of a search: about a minute")
    add("--without", action="append", default=[], metavar="CLASS", help="leave a class out; may be repeated")
    add("--skip-unreadable", action="store_true", help="leave out photographs that cannot be used, however many")
    add("--seed", type=flags.seed, default=0, metavar="N", help="seed of folds and trainings (default: %(default)s)")
    return parser


if __name__ == "__main__":
    leave(main())
