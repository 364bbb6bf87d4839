"""Labelled images to evaluate a model on: an .npz file, a table beside photographs, or one folder per class."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bloodtune.data.folder_listing import list_folder
from bloodtune.data.npz import open_archive, read_class_names, read_split
from bloodtune.errors import InputError, plural
from bloodtune.inference.predictor import Image

ONLY_TEST = "only the test split is evaluated"  # a sentence on what was read


def read_labelled(path: Path, class_names: Sequence[str]) -> tuple[list[tuple[Image, str]], list[str]]:
    """Return images with the names of their classes, and sentences on what was read.

    If the source has splits and one of them is a test split, the others are left out. ``class_names`` are the model's:
    they name the classes of an ``.npz`` file without names.

    Raises:
        InputError: the source cannot be read or has no labels.
    """
    if os.path.isdir(path) or (path.suffix.lower() == ".csv" and os.path.isfile(path)):
        return _from_folder(path)
    if path.suffix.lower() == ".npz" and os.path.isfile(path):
        return _from_archive(path, class_names)
    raise InputError(f"{path}: no such folder, table (.csv) or .npz file")


def _from_folder(root: Path) -> tuple[list[tuple[Image, str]], list[str]]:
    listing = list_folder(root)
    rows, notes = listing.rows, list(listing.notes)
    if listing.missing:
        notes.append(f"{plural(len(listing.missing), 'file')} of the table missing, such as {listing.missing[0]}")
    if listing.unlabelled:
        notes.append(f"{plural(len(listing.unlabelled), 'photograph')} without a label left out")
    if 0 < sum(row.split == "test" for row in rows) < len(rows):
        rows = tuple(row for row in rows if row.split == "test")
        notes.append(ONLY_TEST)
    files = ((root if root.is_dir() else root.parent) / row.file for row in rows)
    images = [Image(os.fsencode(file).decode(errors="backslashreplace"), file) for file in files]
    return [(image, row.label) for image, row in zip(images, rows, strict=True)], notes


def _from_archive(path: Path, class_names: Sequence[str]) -> tuple[list[tuple[Image, str]], list[str]]:
    with open_archive(path, needed=()) as archive:
        splits = [name.removesuffix("_images") for name in archive.files if name.endswith("_images")]
        splits = [name for name in splits if f"{name}_labels" in archive.files]
        if not splits:
            raise InputError(f"{path} has no labels; allowed: arrays such as test_images and test_labels")
        notes = [ONLY_TEST] if "test" in splits and len(splits) > 1 else []
        splits = ["test"] if "test" in splits else splits
        size = archive["class_names"].size if "class_names" in archive.files else 0
        names = list(read_class_names(archive, size, path) or class_names)
        if not size:
            notes.append("the file does not name its classes: they are taken as the model's, in order")
        read = {name: read_split(archive, name, path) for name in splits}
    labels = np.concatenate([split.labels for split in read.values()])
    if labels.min() < 0 or labels.max() >= len(names):
        raise InputError(f"{path} has labels {labels.min()} to {labels.max()}; allowed: 0 to {len(names) - 1}")
    images = (
        (Image(f"{path}:{name}_images[{row}]", image), names[label])
        for name, split in read.items()
        for row, (image, label) in enumerate(zip(split.images, split.labels, strict=True))
    )
    return list(images), notes
