"""The command `data`: the contents of a data set as a table, a contact sheet and an .npz file."""

from __future__ import annotations

import argparse
import io
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table

from bloodtune import command_line as flags
from bloodtune.command_line import leave, print_lines, run_action
from bloodtune.data.contact_sheet import contact_sheet
from bloodtune.data.dataset import Dataset, load_dataset, load_test_split
from bloodtune.data.npz import SPLITS, Split
from bloodtune.data.preparation import SIZE, Preparation
from bloodtune.errors import InputError, printable
from bloodtune.files import check_output_file, replace


def main(argv: Sequence[str] | None = None) -> int:
    """Show a data set; return 0, 1 if a file could not be written, 2 for unusable input, 130 after Ctrl-C."""
    arguments = _parser().parse_args(argv)
    return run_action("data", lambda: _show_data(arguments))


def _show_data(arguments: argparse.Namespace) -> int:
    out, sheet = (_check_file(file, end) for file, end in ((arguments.out, ".npz"), (arguments.sheet, ".png")))
    fields = ("size", "crop", "skip_unreadable", "drop_copies", "seed")
    chosen = {name: getattr(arguments, name) for name in fields} | {"without": tuple(arguments.without)}
    dataset = load_dataset(arguments.path, Preparation(**chosen))
    test = load_test_split(dataset.source, dataset.md5, dataset.preparation)
    splits = {"train": dataset.train, "val": dataset.val, "test": test}
    _show(dataset, splits)
    if sheet:
        replace(sheet, contact_sheet(splits, dataset.class_names))
    if out:
        replace(out, _archive(dataset, splits))
    for file in filter(None, (sheet, out)):
        print_lines(f"data: {file} written")
    return 0


def _check_file(name: str | None, end: str) -> Path | None:
    if name is None:
        return None
    file = Path(name)
    if file.suffix.lower() != end or os.path.isdir(file):
        raise InputError(f"{file}: allowed is a file whose name ends in {end}")
    return check_output_file(file)


def _show(dataset: Dataset, splits: dict[str, Split]) -> None:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("class")
    for name in (*SPLITS, "all"):
        table.add_column(name, justify="right")
    for label, name in enumerate((*dataset.class_names, "all")):
        counts = [
            dataset.class_counts[split][label] if label < len(dataset.class_names) else dataset.split_sizes[split]
            for split in SPLITS
        ]
        table.add_row(printable(name), *(f"{count:,}" for count in (*counts, sum(counts))))
    Console().print(table, markup=False)
    side, channels = splits["train"].images.shape[2:]
    print(f"images of {side} x {side} pixels, {'grey' if channels == 1 else 'colour'}")
    print(*map(printable, dataset.findings()), sep="\n")


def _archive(dataset: Dataset, splits: dict[str, Split]) -> bytes:
    arrays: dict[str, np.ndarray] = {"class_names": np.array(dataset.class_names)}
    for name, split in splits.items():
        images = split.images[..., 0] if split.images.shape[3] == 1 else split.images
        labels = split.labels[:, np.newaxis].astype(np.min_scalar_type(len(dataset.class_names)))
        arrays |= {f"{name}_images": images, f"{name}_labels": labels}
        if dataset.groups:
            arrays[f"{name}_groups"] = dataset.groups[name]
    file = io.BytesIO()
    np.savez(file, **arrays)  # type: ignore[arg-type]
    return file.getvalue()


def _parser() -> argparse.ArgumentParser:
    parser = flags.OneLineParser(
        prog="python -m bloodtune.data",
        description="Show what a folder of photographs or an .npz file holds, as a search would use it: images\n"
        "per class and split, sizes, copies, contradicting labels, and groups in two splits.",
        epilog="exit codes: 0 success, 1 a file could not be written, 2 input that cannot be used",
    )
    add = parser.add_argument
    add("path", help="a folder of photographs, an .npz file, a MedMNIST name, or synthetic")
    add("--out", metavar="FILE.npz", help="write images, labels, class names and groups to an .npz file")
    add("--sheet", metavar="FILE.png", help="write the first images of each class to a picture")
    add("--size", type=flags.positive, metavar="N", help=f"side of the images in pixels (default: {SIZE})")
    add(
        "--crop",
        type=flags.positive,
        metavar="N",
        help="cut the middle N x N pixels from every photograph; smaller ones are unusable",
    )
    add("--without", action="append", default=[], metavar="CLASS", help="leave out a class; may be repeated")
    add("--skip-unreadable", action="store_true", help="leave out unusable files, even more than 1 %%")
    add("--drop-copies", action="store_true", help="leave out training images with a copy in another split")
    add("--seed", type=flags.seed, default=0, metavar="N", help="seed of splits that are drawn (default: 0)")
    return parser


if __name__ == "__main__":
    leave(main())
