"""Folders of labelled photographs: small noisy pictures that can be learned, and tables beside them."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from bloodtune.data.dataset import Dataset, load_dataset
from bloodtune.data.preparation import Preparation
from error_fixtures import refusal

CLASSES = ("basophil", "ig", "lymphocyte")


def write_photographs(root: Path, files: Iterable[str], size: int = 28) -> Path:
    """Write a different picture for each name; the class whose name is in the path decides about its colour."""
    for name in files:
        generator = np.random.default_rng(zlib.crc32(name.encode()))
        pixels = generator.integers(0, 120, (size, size, 3), dtype=np.uint8)
        pixels[..., next((c for c, label in enumerate(CLASSES) if label in name), 0)] += 100
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(root / name)
    return root


def class_files(images: int = 6, before: str = "", between: str = "") -> list[str]:
    """Return names such as ``ig/3.png`` for ``images`` photographs of each class."""
    return [f"{before}{label}/{between}{number}.png" for label in CLASSES for number in range(images)]


def split_files(names: Mapping[str, int]) -> list[str]:
    """Return names such as ``train/ig/3.png`` for so many photographs of each class in each folder of a split."""
    return [file for split, images in names.items() for file in class_files(images, f"{split}/")]


def write_table(file: Path, header: str, rows: Iterable[str]) -> Path:
    """Write lines to a CSV file."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return file


def write_labelled(root: Path, images: int = 6, header: str = "file_name,label", end: str = "") -> Path:
    """Write photographs without class folders and a ``metadata.csv`` beside them; ``end`` is added to each row."""
    files = [f"{label}-{number}.png" for label in CLASSES for number in range(images)]
    write_photographs(root, files)
    rows = (f"{file},{file.partition('-')[0]}{end.format(number=at % images)}" for at, file in enumerate(files))
    write_table(root / "metadata.csv", header, rows)
    return root


def load(root: Path, **fields: object) -> Dataset:
    """Load a folder; ``fields`` are those of its preparation."""
    return load_dataset(str(root), Preparation(**fields))  # type: ignore[arg-type]


def refused(root: Path, **fields: object) -> str:
    """Return the message with which a folder is refused; check that nothing is written into it."""

    def files() -> list[Path]:  # but for the cache of tiles in the home folder
        return sorted(file for file in root.rglob("*") if "home" not in file.parts)

    before = files()
    message = refusal(lambda: load(root, **fields))
    assert files() == before, "nothing is written"
    return message


def sizes(data: Dataset) -> tuple[int, ...]:
    """Return the number of images in train, val and test."""
    return tuple(data.split_sizes.values())
