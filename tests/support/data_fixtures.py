"""Small data files, and the one line of a refusal."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np

from bloodtune.data.dataset import load_dataset
from error_fixtures import refusal

BLOOD_CELLS = (
    "basophil",
    "eosinophil",
    "erythroblast",
    "immature granulocyte",
    "lymphocyte",
    "monocyte",
    "neutrophil",
    "platelet",
)
Arrays = dict[str, np.ndarray[Any, Any]]


def make_arrays(size: int = 8, channels: int = 3, classes: int = 3, copies: int = 4) -> Arrays:
    """Return the six arrays, with noise for images and ``copies`` x ``classes`` images a split."""
    generator = np.random.default_rng(0)
    shape = (size, size, channels) if channels > 1 else (size, size)
    arrays: Arrays = {}
    for split in ("train", "val", "test"):
        labels = np.tile(np.arange(classes, dtype=np.uint8), copies)
        arrays[f"{split}_images"] = generator.integers(0, 256, (len(labels), *shape), dtype=np.uint8)
        arrays[f"{split}_labels"] = labels[:, np.newaxis]
    return arrays


def save(path: Path, arrays: Arrays) -> Path:
    np.savez(path, **arrays)  # type: ignore[arg-type]
    return path


def md5_of(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def error_of(source: Path | str | None, **options: bool) -> str:
    """Return the message of the InputError that loading must end in; it is always one line."""
    return refusal(lambda: load_dataset(None if source is None else str(source), **options))
