"""Prediction of photographs in parallel threads, with a confidence threshold."""

from __future__ import annotations

import functools
import itertools
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, NamedTuple, TypeGuard, TypeVar

import numpy as np
import torch

from bloodtune.data.medmnist import is_bloodmnist
from bloodtune.data.npz import load_images
from bloodtune.data.parallel_map import map_in_threads
from bloodtune.data.photographs import Tile, digest_of, find_photographs, read_pages, tile_picture
from bloodtune.data.preparation import MIN_SIZE
from bloodtune.errors import InputError
from bloodtune.files import parse_json
from bloodtune.inference.calibrated_network import BATCH, Deployment
from bloodtune.inference.classifier import Classifier
from bloodtune.inference.default_model import CARD, find_model
from bloodtune.inference.differential import Prediction, Unreadable, is_blood
from bloodtune.inference.out_of_distribution import GUARD, Guard
from bloodtune.space.recipe import is_whole

Item = TypeVar("Item")
Found = TypeVar("Found")
_CHUNK = BATCH  # photographs per thread


class Image(NamedTuple):
    """An image to predict: its name, and its file or pixels, uint8 (H, W, C)."""

    name: str
    content: Path | IO[bytes] | np.ndarray


@dataclass(frozen=True, eq=False)
class Predictor:
    """A loaded model with its confidence threshold; ``card`` is the content of its ``model.json``.

    A prediction is sure if its probability is at least ``threshold`` and the ``guard``, if there is one, knows such
    images. A summary chooses the threshold so that 99 % of the sure predictions on the validation split are correct.
    """

    network: Deployment
    class_names: tuple[str, ...]
    size: int
    channels: int
    threshold: float
    card: dict[str, Any]
    guard: Guard | None = None

    @classmethod
    def load(cls, folder: Path | str | None = None, threshold: float | None = None) -> Predictor:
        """Read a model that a summary wrote, or the model of a search from its run directory.

        Without ``folder``, ``default_model.find_model`` chooses.

        Raises:
            InputError: ``folder`` holds no model, the model is damaged, or neither it nor the caller gives a threshold.
        """
        folder = find_model(folder)
        classifier = Classifier.load(folder)
        card = parse_json((folder / CARD).read_bytes())
        found = card.get("threshold") if threshold is None else threshold
        if not _is_finite(found):
            raise InputError(f"{folder / CARD} has no threshold for unsure predictions; give --threshold P")
        names = classifier.class_names
        if not all(isinstance(name, str) for name in names) or len(set(names)) < max(2, len(names)):
            raise InputError(f"{folder / CARD}: class_names {list(names)}; allowed: distinct strings, two or more")
        _check_data(card.setdefault("data", {}), folder / CARD)
        deployment = Deployment(classifier, _temperature(card, folder / CARD))
        guard = Guard.load(folder)
        if guard and guard.means.shape[1] != deployment.features:
            found = f"{guard.means.shape[1]} features, and the network has {deployment.features}"
            raise InputError(f"{folder / GUARD} does not belong to the model: it is for {found}")
        return cls(deployment, names, classifier.size, classifier.channels, float(found), card, guard)

    @property
    def own_threshold(self) -> float | None:
        """The threshold that the model was saved with, if it has one."""
        found = self.card.get("threshold")
        return float(found) if _is_finite(found) else None

    @property
    def synthetic(self) -> bool:
        """True if the model was trained on synthetic images. Its predictions of real cells are then useless."""
        return bool(self.card["data"].get("synthetic"))

    @property
    def untested(self) -> bool:
        """True if the model comes straight from a search, and was neither retrained nor tested."""
        return "search" in self.card

    @property
    def caveat(self) -> str:
        """The warning under every count: it names the training images, and tells users of other cells to evaluate."""
        title = self.card["data"].get("title") or "images that its card does not name"
        return f"Trained on {title}: for another stain, camera or magnification, run evaluate before you trust a count."

    @property
    def blood(self) -> bool:
        """True if the model's classes are the cells of a differential count."""
        return is_blood(self.class_names)

    @property
    def crop(self) -> int | None:
        """The crop with which the training images were read, in pixels; None for the rule of ``read_tile``."""
        crop: int | None = (self.card["data"].get("preparation") or {}).get("crop")
        return crop

    @property
    def bloodmnist(self) -> bool:
        """True if classes and sizes of the splits are BloodMNIST's, so the model was trained on its images."""
        return is_bloodmnist(self.class_names, self.card["data"].get("split_sizes"))

    def predict(
        self, images: Iterable[Image], *, crop: int | None = None, preview: int = 0, workers: int | None = None
    ) -> Iterator[Prediction | Unreadable]:
        """Yield the predictions of images in order. A few hundred images are in memory at a time.

        ``find`` yields such images. A file with several pages gives one prediction per page. ``crop`` and ``preview``
        are arguments of ``photographs.read_pages``; the default of ``crop`` is that of the training images. ``workers``
        is the number of threads (default: one per core).
        """
        crop, rest = self.crop if crop is None else crop, iter(images)
        chunks = iter(lambda: list(itertools.islice(rest, _CHUNK)), [])
        return in_threads(lambda chunk: self._predict_chunk(chunk, crop, preview), chunks, workers)

    def find(self, paths: Iterable[Path | str]) -> Iterator[Image]:
        """Yield the images at ``paths``: photographs, photographs in folders, and images in ``.npz`` files.

        Raises:
            InputError: a path does not exist, a folder contains no photograph, or an ``.npz`` file contains no images
                for this model.
        """
        yield from self.images(find_photographs(list(map(Path, paths))).files)

    def images(self, files: Iterable[Path]) -> Iterator[Image]:
        """Yield photographs, and the images in ``.npz`` files; raise as ``find``."""
        for file in files:
            yield from self._rows(file) if _is_archive(file) else [Image(_name(file), file)]

    def count(self, file: Path) -> int:
        """Return the number of images that ``images`` yields for a file; raise as ``find``."""
        return sum(1 for _ in self._rows(file)) if _is_archive(file) else 1

    def _rows(self, path: Path) -> Iterator[Image]:
        for array, images in load_images(path).items():
            expected = (self.size, self.size, self.channels)
            if images.shape[1:] != expected:
                raise InputError(f"{path}: {array} has images of {images.shape[1:]}; this model takes {expected}")
            yield from (Image(f"{_name(path)}:{array}[{row}]", image) for row, image in enumerate(images))

    def _predict_chunk(self, chunk: Sequence[Image], crop: int | None, preview: int) -> list[Prediction | Unreadable]:
        read = [result for image in chunk for result in self._read(image, crop, preview)]
        tiles = [result.pixels for result in read if isinstance(result, Tile)]
        seen = iter(self.examine(tiles))
        return [self.describe(found, *next(seen)) if isinstance(found, Tile) else found for found in read]

    def examine(self, tiles: Sequence[np.ndarray]) -> Iterator[tuple[np.ndarray, bool]]:
        """Yield for each image, uint8 (H, W, C), its probabilities, float32 (K,), and whether the guard knows it."""
        if tiles:
            probabilities, features = self.network.examine(np.stack(tiles))
            known = self.guard.knows(features) if self.guard else [True] * len(tiles)
            yield from zip(probabilities, map(bool, known), strict=True)

    def _read(self, image: Image, crop: int | None, preview: int) -> list[Tile | Unreadable]:
        """Return the tiles of an image, each labelled with its source, or the reason why there is none."""
        if isinstance(image.content, np.ndarray):
            return [Tile(image.name, image.content, tile_picture(image.content) if preview else b"")]
        options = {"size": self.size, "channels": self.channels, "preview": preview}
        try:
            tiles = list(read_pages(image.content, crop=crop, **options))
        except InputError as error:
            return [Unreadable(image.name, str(error))]
        return [tile._replace(label=f"{image.name}:{tile.label}" if tile.label else image.name) for tile in tiles]

    def describe(self, tile: Tile, probabilities: np.ndarray, known: bool = True, **place: Any) -> Prediction:
        """Return the prediction of a tile, from what ``examine`` yields for it; ``place`` is a cell's field and box."""
        second, first = np.argsort(probabilities, kind="stable")[-2:]
        sure = known and float(probabilities[first]) >= self.threshold
        labels = (self.class_names[first], self.class_names[second])
        pixels = tile.pixels if tile.preview else None
        return Prediction(
            tile.label, *labels, probabilities, sure, digest_of(tile.pixels), tile.preview, pixels, **place, known=known
        )


def _check_data(data: Any, file: Path) -> None:
    # The entries of a card's ``data`` that are used.
    if not isinstance(data, dict):
        raise InputError(f"{file}: data is {type(data).__name__}; allowed: an object")
    preparation = data.get("preparation") or {}
    crop = preparation.get("crop") if isinstance(preparation, dict) else preparation
    if crop is not None and not is_whole(crop, MIN_SIZE):
        raise InputError(f"{file}: data.preparation.crop {crop!r}; allowed: null, or pixels from {MIN_SIZE}")
    sizes = data.get("split_sizes", {"train": 0})
    if not isinstance(sizes, dict) or not is_whole(sizes.get("train"), 0):
        raise InputError(f"{file}: data.split_sizes {sizes!r}; allowed: the images of train, val and test")


def _temperature(card: Mapping[str, Any], file: Path) -> float:
    found = card.get("temperature", 1.0)
    if not _is_finite(found) or found <= 0:
        raise InputError(f"{file}: temperature {found!r}; allowed: numbers above 0")
    return float(found)


def in_threads(
    work: Callable[[Item], Iterable[Found]], items: Iterable[Item], workers: int | None = None
) -> Iterator[Found]:
    """Yield the results of ``work`` on each item, in order, from threads in which torch uses one core.

    ``workers`` is the number of threads (default: one per core). At most twice as many results wait to be yielded.
    """
    one_thread = functools.partial(torch.set_num_threads, 1)
    for found in map_in_threads(work, items, ahead=2, workers=workers, initializer=one_thread):
        yield from found


def classify(
    paths: Iterable[Path | str] | Path | str,
    model: Path | str | None = None,
    *,
    crop: int | None = None,
    threshold: float | None = None,
) -> list[Prediction | Unreadable]:
    """Predict photographs, folders or ``.npz`` files with the model in a folder; see ``Predictor`` for the options.

    Without ``model``: the model of the newest summary or search in this folder, or else the pretrained one.

    Raises:
        InputError: there is no usable model, or a path contains no photograph.
    """
    chosen = [paths] if isinstance(paths, (str, os.PathLike)) else paths
    predictor = Predictor.load(model, threshold)
    return list(predictor.predict(predictor.find(chosen), crop=crop))


def _is_finite(value: object) -> TypeGuard[float]:
    return isinstance(value, (int, float)) and abs(value) <= sys.float_info.max  # a whole number has no limit


def _is_archive(file: Path) -> bool:
    return file.suffix.lower() == ".npz"


def _name(file: Path) -> str:
    return os.fsencode(file.as_posix()).decode(errors="backslashreplace")  # a file name may be invalid UTF-8
