"""Tables of learning curves: the small data set they are made on, and a run directory packed into small files and back.

python benchmarks/curves/curve_tables.py subset FILE.npz SMALL.npz    3,000 training images, the whole validation split
python benchmarks/curves/curve_tables.py pack RUN NAME                a run directory into benchmarks/curves/NAME
python benchmarks/curves/curve_tables.py unpack NAME RUN              and back, so that --resume extends it
"""

from __future__ import annotations

import gzip
import re
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from sklearn.model_selection import train_test_split

from bloodtune.command_line import OneLineParser, positive

FOLDER = Path(__file__).resolve().parent
TRAIN_IMAGES = 3000

# The files that a resumed search needs; it makes all others from them.
FILES = ("trials.csv", "curves.csv", "proposals.jsonl", "recipe.toml", "provenance.json")


def write_subset(source: Path, target: Path, images: int) -> None:
    """Write a MedMNIST-like file with ``images`` of the training split, drawn by class with seed 0."""
    with np.load(source) as arrays:
        content = {name: arrays[name] for name in arrays.files}
    labels = content["train_labels"]
    if len(labels) > images:
        rows, _ = train_test_split(np.arange(len(labels)), train_size=images, stratify=labels[:, 0], random_state=0)
        rows.sort()
        content |= {name: content[name][rows] for name in ("train_images", "train_labels")}
    np.savez_compressed(target, **content)


def pack(run: Path, folder: Path) -> None:
    """Write the records of a run directory, compressed, to ``folder``; folders of this machine are left out."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in FILES:
        content = (run / name).read_bytes()
        if name == "provenance.json":
            content = re.sub(rb'(?<=[" =])/[^" ]*/', b"", content)
        # Without time and name of the file, so that the same records give the same bytes.
        (folder / f"{name}.gz").write_bytes(gzip.compress(content, mtime=0))


def unpack(folder: Path, run: Path) -> None:
    """Write a run directory for ``--resume``; an existing one is not touched."""
    run.mkdir(parents=True)
    for name in FILES:
        (run / name).write_bytes(gzip.decompress((folder / f"{name}.gz").read_bytes()))


def main(argv: Sequence[str] | None = None) -> int:
    """Run one of the three commands."""
    parser = OneLineParser(prog="curve_tables.py", description=__doc__ or "")
    parser.add_argument("command", choices=("subset", "pack", "unpack"))
    parser.add_argument("source")
    parser.add_argument("target")
    parser.add_argument("--images", type=positive, default=TRAIN_IMAGES, help="of the subset (default: %(default)s)")
    arguments = parser.parse_args(argv)
    source, target = arguments.source, arguments.target
    if arguments.command == "subset":
        write_subset(Path(source), Path(target), arguments.images)
    elif arguments.command == "pack":
        pack(Path(source), FOLDER / target)
    else:
        unpack(FOLDER / source, Path(target))
    return 0


if __name__ == "__main__":
    sys.exit(main())
