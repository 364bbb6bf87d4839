"""Evaluation of a model on labelled images: scores with intervals, calibration, and the counts beside the true ones."""

from __future__ import annotations

import functools
from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np

from bloodtune.errors import plural
from bloodtune.inference.confidence import bin_numbers, calibration_error, reliability
from bloodtune.inference.differential import Row, Unreadable, differential, wilson
from bloodtune.training.metrics import Interval, confusion_matrix, per_class, percentile, resample

RESAMPLES = 1000
_BLOCK_CELLS = 4_000_000


@dataclass(frozen=True, eq=False)
class Evaluation:
    """True classes and predictions of images whose classes the model knows.

    ``class_names`` (K) are the model's; ``labels`` int (N,) are indices of them, N > 0; ``probabilities`` are float
    (N, K). ``unknown`` counts the images left out by class name, ``unreadable`` has the files that could not be read.
    ``known``, bool (N,), says which images are like the training images; None for all.

    Macro-F1 is the mean over the classes that have images. A prediction of another class is an error.
    """

    class_names: tuple[str, ...]
    labels: np.ndarray
    probabilities: np.ndarray
    threshold: float
    unknown: Counter[str]
    unreadable: tuple[Unreadable, ...] = ()
    known: np.ndarray | None = None

    @property
    def predicted(self) -> np.ndarray:
        """The most probable classes, int (N,)."""
        return np.asarray(self.probabilities.argmax(axis=1))

    @functools.cached_property
    def matrix(self) -> np.ndarray:
        """The confusion matrix (K, K): rows are true classes, columns predicted ones."""
        return confusion_matrix(self.labels, self.predicted, len(self.class_names))

    @property
    def absent(self) -> tuple[str, ...]:
        """The model's classes of which there is no image."""
        present = set(self.labels.tolist())
        return tuple(name for index, name in enumerate(self.class_names) if index not in present)

    @functools.cached_property
    def scores(self) -> dict[str, Interval | None]:
        """Scores on [0, 1] with 95 % intervals; None where no image is kept.

        ``accuracy``, ``macro_f1`` and ``calibration_error`` have percentile bootstrap intervals over images, ``kept``
        (the share that is sure: at or above the threshold, and known) and ``kept_accuracy`` Wilson's.
        """
        generator = np.random.default_rng(0)
        drawn = resample(self.matrix, generator, RESAMPLES)
        right = self.predicted == self.labels
        kept = self.probabilities.max(axis=1) >= self.threshold
        kept &= True if self.known is None else self.known
        images = len(self.labels)
        return {
            "accuracy": percentile(float(right.mean()), np.trace(drawn, axis1=1, axis2=2) / images),
            "macro_f1": percentile(float(_macro_f1(self.matrix)), _macro_f1(drawn)),
            "calibration_error": self._calibration(generator),
            "kept": _share(int(kept.sum()), images),
            "kept_accuracy": _share(int(right[kept].sum()), int(kept.sum())),
        }

    @functools.cached_property
    def classes(self) -> list[dict[str, Any]]:
        """One row per class with images: ``class``, ``images``, ``predicted``, ``precision``, ``recall`` and ``f1``.

        F1 has a bootstrap interval over the resamples in which the class has images, the others have Wilson's.
        """
        drawn = resample(self.matrix, np.random.default_rng(1), RESAMPLES)
        f1, found = _f1(drawn), per_class(self.matrix)[2]
        rows = []
        for index in np.flatnonzero(self.matrix.sum(axis=1)):
            right, images, predicted = (
                int(counts[index]) for counts in (self.matrix.diagonal(), self.matrix.sum(1), self.matrix.sum(0))
            )
            shares = {"precision": _share(right, predicted), "recall": _share(right, images)}
            row = {"class": self.class_names[index], "images": images, "predicted": predicted}
            rows.append(row | shares | {"f1": percentile(float(found[index]), f1[:, index])})
        return rows

    @functools.cached_property
    def counts(self) -> list[tuple[Row, Row]]:
        """The differential count: each row by the true classes, and by the predictions."""
        true, predicted = (
            differential(dict(zip(self.class_names, counts.tolist(), strict=True)), self.class_names)
            for counts in (self.matrix.sum(axis=1), self.matrix.sum(axis=0))
        )
        return list(zip(true, predicted, strict=True))

    def notes(self) -> list[str]:
        """Return sentences on classes that only the data or only the model has, and on unreadable files."""
        notes = []
        if self.known is not None and not self.known.all():
            found = plural(int((~self.known).sum()), "image")
            notes.append(f"unlike the training images, and not kept: {found}")
        if self.unknown:
            names = ", ".join(f"{name!r} ({plural(count, 'image')})" for name, count in self.unknown.most_common())
            notes.append(f"left out, of classes that the model does not know: {names}")
        if self.absent:
            lost = int(self.matrix[:, [self.class_names.index(name) for name in self.absent]].sum())
            what = f"classes of the model without an image here: {', '.join(self.absent)}"
            notes.append(f"{what}; predictions of them count as errors: {lost:,}")
        if self.unreadable:
            first = f"such as {self.unreadable[0].source}: {self.unreadable[0].reason}"
            notes.append(f"left out, could not be read: {plural(len(self.unreadable), 'file')}, {first}")
        return notes

    def to_mapping(self) -> dict[str, Any]:
        """Return everything as a JSON object."""
        return {
            "images": len(self.labels),
            "threshold": self.threshold,
            "scores": {name: list(score) if score else None for name, score in self.scores.items()},
            "classes": self.classes,
            "class_names": list(self.class_names),
            "confusion_matrix": self.matrix.tolist(),
            "reliability": [vars(one) for one in reliability(self.labels, self.probabilities)],
            "count": [{"true": vars(true), "predicted": vars(predicted)} for true, predicted in self.counts],
            "unknown": dict(self.unknown),
            "absent": list(self.absent),
            "unreadable": [{"file": one.source, "error": one.reason} for one in self.unreadable],
        }

    def _calibration(self, generator: np.random.Generator) -> Interval:
        confidence, images = self.probabilities.max(axis=1), len(self.labels)
        place = bin_numbers(confidence)
        gaps = (confidence - (self.predicted == self.labels))[:, None] * (place[:, None] == np.unique(place))
        block = max(1, _BLOCK_CELLS // images)
        drawn = []
        for start in range(0, RESAMPLES, block):
            size = min(block, RESAMPLES - start)
            weights = generator.multinomial(images, np.full(images, 1 / images), size=size)
            drawn.append(np.abs(weights @ gaps).sum(axis=1) / images)
        value = calibration_error(reliability(self.labels, self.probabilities))
        return percentile(value, np.concatenate(drawn))


def _f1(matrix: np.ndarray) -> np.ndarray:
    # NaN for a class without images.
    _, _, f1, support = per_class(matrix)
    return np.where(support > 0, f1, np.nan)


def _macro_f1(matrix: np.ndarray) -> np.ndarray:
    return np.asarray(np.nanmean(_f1(matrix), axis=-1))


def _share(part: int, total: int) -> Interval | None:
    return Interval(part / total, *wilson(part, total)) if total else None
