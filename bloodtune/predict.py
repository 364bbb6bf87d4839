"""The command `predict`: photographs in, classes and the differential count out.

torch and the modules that use it are imported inside functions, so that `--help` and errors in flags appear at once.
"""

from __future__ import annotations

import argparse
import contextlib
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image
from rich.console import Console
from rich.progress import Progress

from bloodtune import command_line as flags
from bloodtune.command_line import leave, print_lines, run_action
from bloodtune.data.photographs import find_photographs
from bloodtune.errors import InputError
from bloodtune.files import check_output_file, check_writable
from bloodtune.inference.default_model import BEST_MODEL, NEWEST_RUN, PRETRAINED, find_model
from bloodtune.inference.differential import Result, Tally
from bloodtune.inference.field_pictures import FieldFolder
from bloodtune.inference.manual_count import read_manual_count
from bloodtune.inference.terminal_output import Screen
from bloodtune.inference.writers import FIELD_PREVIEW, CsvFile, HtmlFile, JsonFile

if TYPE_CHECKING:
    from bloodtune.inference.predictor import Predictor

SYNTHETIC_MODEL = "this model was trained on SYNTHETIC data: its predictions of real cells mean nothing"
UNTESTED_MODEL = "this model comes straight from a search: it was neither retrained nor tested; summarize does both"
UNGUARDED_MODEL = (
    "this model has no guard against images unlike its training images; summarize and adapt make models that have one"
)
PRETRAINED_MODEL = (
    "no model of a summary or search is here, so the pretrained model is used; --model DIR selects another"
)
MODEL_HELP = (
    "folder of a trained model, or the run directory of a search "
    f"(default: {BEST_MODEL}, else {NEWEST_RUN}, else the pretrained model)"
)
_PREVIEW = 96  # pixels
_WRITERS = {"csv": CsvFile, "json": JsonFile, "html": HtmlFile}


def main(argv: Sequence[str] | None = None) -> int:
    """Count the cells in photographs, or export the model.

    Returns:
        0 on success, 1 if no image could be read or a file could not be written, 2 for unusable input, 130 after
        Ctrl-C.
    """
    arguments = _parser().parse_args(argv)
    action = _export if arguments.export else _predict
    return run_action("predict", lambda: action(arguments), "no file was written")


def choose_model(asked: str | None, program: str) -> Path:
    """Return the folder that ``find_model`` finds; say on stderr which it is if none is ``asked`` for."""
    folder = find_model(asked)
    if asked is None:
        print_lines(f"{program}: {PRETRAINED_MODEL if folder == PRETRAINED else f'model {folder}'}")
    return folder


def load_predictor(folder: Path, threshold: float | None = None, program: str = "predict") -> Predictor:
    """Load a model; say on stderr if it was trained on synthetic data, was never tested or has no guard.

    Raises:
        InputError: ``folder`` holds no model, or the model cannot be used.
    """
    from bloodtune.inference.predictor import Predictor

    # read_tile refuses pictures that are too large; its message is shorter than Pillow's warning.
    warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
    try:
        predictor = Predictor.load(folder, threshold)
    except InputError as error:
        hint = f"a summary writes models, and --model {NEWEST_RUN} selects that of the newest search"
        raise InputError(f"{error}; {hint}") from None
    if predictor.synthetic:
        print_lines(f"{program}: {SYNTHETIC_MODEL}")
    if predictor.untested:
        print_lines(f"{program}: {UNTESTED_MODEL}")
    if predictor.guard is None:
        print_lines(f"{program}: {UNGUARDED_MODEL}")
    return predictor


def _predict(arguments: argparse.Namespace) -> int:
    if arguments.int8:
        raise InputError("--int8 needs --export onnx")
    if not arguments.paths:
        raise InputError("no photograph, folder or .npz file given; see --help")
    if not arguments.find and (arguments.boxes is not None or arguments.microns_per_pixel is not None):
        raise InputError("--boxes and --microns-per-pixel need --find")
    files = output_files(arguments)
    if arguments.boxes is not None:
        check_writable(Path(arguments.boxes))
    predictor = load_predictor(choose_model(arguments.model, "predict"), arguments.threshold)
    manual = read_manual_count(Path(arguments.manual), predictor.class_names) if arguments.manual else Counter[str]()
    found = find_photographs(list(map(Path, arguments.paths)))
    total = len(found.files) if arguments.find else sum(map(predictor.count, found.files))
    tally, console = Tally(predictor.class_names, found.left_out, arguments.find, manual), Console(stderr=True)
    predictions = _predictions(predictor, arguments, found.files, "html" in files)
    screen = Screen(predictor)
    with contextlib.ExitStack() as opened:
        writers = [
            opened.enter_context(_WRITERS[name](file, predictor, arguments.find)) for name, file in files.items()
        ]
        if arguments.boxes is not None:
            writers.append(opened.enter_context(FieldFolder(Path(arguments.boxes))))
        with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
            for prediction in progress.track(predictions, total, description="fields" if arguments.find else "images"):
                tally.add(prediction)
                for writer in (screen, *writers):
                    writer.add(prediction)
        for writer in writers:
            writer.finish(tally)
    screen.finish(tally)  # last, because the reader may close the pipe, as `head` does
    for file in (*files.values(), *([] if arguments.boxes is None else [arguments.boxes])):
        print_lines(f"predict: {file} written")
    return 0 if tally.images else 1


def _predictions(
    predictor: Predictor, arguments: argparse.Namespace, files: Sequence[Path], pictures: bool
) -> Iterator[Result]:
    images, preview = predictor.images(files), _PREVIEW if pictures else 0
    if not arguments.find:
        return predictor.predict(images, crop=arguments.crop, preview=preview, workers=arguments.workers)
    from bloodtune.inference.field_predictor import FieldPredictor

    page, drawn = FIELD_PREVIEW if pictures else 0, arguments.boxes is not None
    fields = FieldPredictor(predictor, arguments.microns_per_pixel, arguments.crop, preview, drawn, page)
    return fields.predict(images, arguments.workers)


def _export(arguments: argparse.Namespace) -> int:
    from bloodtune.inference.int8_export import choose_calibration
    from bloodtune.inference.onnx_export import check_installed, export_onnx

    if arguments.paths and not arguments.int8:
        raise InputError("--export takes photographs only with --int8, which calibrates with them")
    if arguments.int8 and not arguments.paths:
        raise InputError("--int8 needs photographs to calibrate with: a few hundred, as the model is to count")
    folder = choose_model(arguments.model, "predict")
    if folder.resolve() == PRETRAINED and not arguments.out:
        raise InputError("--export of the pretrained model needs --out DIR")
    out = Path(arguments.out or folder)
    predictor = load_predictor(folder, arguments.threshold)
    if arguments.threshold is not None and predictor.own_threshold is not None:
        raise InputError("--threshold cannot be given with --export: the model card gives the model's own threshold")
    check_writable(out)
    check_installed()
    calibration = []
    if arguments.int8:
        calibration = choose_calibration(predictor, predictor.find(arguments.paths), print_lines, arguments.crop)
    for file in export_onnx(predictor, out, calibration):
        print_lines(f"predict: {file} written")
    return 0


def output_files(arguments: argparse.Namespace) -> dict[str, Path]:
    """Return the files of ``--csv``, ``--json`` and ``--html`` by the flag's name, those that are given.

    Raises:
        InputError: a file cannot be written, or two flags name the same one.
    """
    given = {name: file for name in ("csv", "json", "html") if (file := getattr(arguments, name)) is not None}
    files = {name: check_output_file(Path(file)) for name, file in given.items()}
    if len({file.resolve() for file in files.values()}) < len(files):
        raise InputError("--csv, --json and --html need different files")
    return files


def _parser() -> argparse.ArgumentParser:
    parser = flags.OneLineParser(
        prog="python -m bloodtune.predict",
        description="Count blood cells: a class for each photograph, and the differential count. Takes JPEG,\n"
        "PNG, TIFF, BMP, WebP and GIF files (smear crops of about 360 x 363 pixels, tiles of the\n"
        "model's size, other sizes with --crop), folders of them, and .npz files of images. With\n"
        "--find, pictures are fields of view of a stained smear.\n"
        "Research software: not for diagnosis.",
    )
    add = parser.add_argument
    add("paths", nargs="*", metavar="PATH", help="a photograph, a folder (with its subfolders), or an .npz file")
    add("--model", metavar="DIR", help=MODEL_HELP)
    add(
        "--crop",
        type=flags.positive,
        metavar="N",
        help="take the middle N x N pixels of each photograph; smaller ones are not counted (default: as in training)",
    )
    add("--find", action="store_true", help="the pictures are fields of view: find the nucleated cells and count these")
    add(
        "--microns-per-pixel",
        type=flags.microns_per_pixel,
        metavar="X",
        help="scale of the fields (default: from the red cells or nuclei of each field)",
    )
    add("--boxes", metavar="DIR", help="write each field with boxes, classes and probabilities as PNG")
    unsure = "an image is unsure if the probability of its class is below P (default: the model's own threshold)"
    add("--threshold", type=flags.share, metavar="P", help=unsure)
    add("--manual", metavar="FILE", help="compare with a manual count: a CSV table with the columns class and count")
    add("--csv", metavar="FILE", help="write one row per image, with the probabilities of all classes")
    add("--json", metavar="FILE", help="write the same rows, the count and the description of the model")
    add("--html", metavar="FILE", help="write a page with the count and the pictures in one file")
    add("--workers", type=flags.positive, metavar="N", help="number of threads (default: one per core)")
    add("--export", choices=["onnx"], help="write the model in a format for other programs, with a model card")
    add("--int8", action="store_true", help="with --export: also in int8, calibrated on the photographs at PATH")
    add("--out", metavar="DIR", help="folder for --export (default: the model's folder)")
    return parser


if __name__ == "__main__":
    leave(main())
