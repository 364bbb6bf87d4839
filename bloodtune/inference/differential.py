"""What a model says of images, and the differential count of it, as a laboratory reads one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

BEST_MODEL = "results/latest/models/best"

# In the order of a laboratory's report. Erythroblasts are counted per 100 of these, platelets apart.
LEUKOCYTES = ("neutrophil", "immature granulocyte", "eosinophil", "basophil", "lymphocyte", "monocyte")
ERYTHROBLAST, PLATELET = "erythroblast", "platelet"

OF_LEUKOCYTES, PER_100, APART, OF_IMAGES = "% of leukocytes", "per 100 leukocytes", "counted apart", "% of images"


@dataclass(frozen=True, eq=False)
class Prediction:
    """What a model says of an image: ``probabilities`` float32 (K,), in the order of the model's class names.

    ``sure`` tells whether the most probable class is at least as probable as the model's threshold; ``picture`` is a
    JPEG file of the part that was looked at, where it was asked for.
    """

    source: str
    label: str
    second: str
    probabilities: np.ndarray
    sure: bool
    picture: bytes = b""

    @property
    def probability(self) -> float:
        """That of the most probable class."""
        return float(self.probabilities.max())

    @property
    def second_probability(self) -> float:
        """That of the class after it."""
        return float(np.partition(self.probabilities, -2)[-2])


@dataclass(frozen=True)
class Unreadable:
    """A file that is no photograph, or not one that can be predicted, and why."""

    source: str
    reason: str


@dataclass
class Tally:
    """The images counted so far: by class, of them the unsure ones by class, and the files that could not be read."""

    class_names: tuple[str, ...]
    counts: Counter[str] = field(default_factory=Counter)
    unsure: Counter[str] = field(default_factory=Counter)
    unreadable: int = 0

    def add(self, one: Prediction | Unreadable) -> None:
        """Count an image."""
        if isinstance(one, Unreadable):
            self.unreadable += 1
            return
        self.counts[one.label] += 1
        self.unsure[one.label] += not one.sure

    @property
    def images(self) -> int:
        """Number of images counted."""
        return self.counts.total()

    def rows(self) -> list[Row]:
        """Return the differential count."""
        return differential(self.counts, self.class_names)

    def summary(self, threshold: float) -> str:
        """Return in a sentence how much was counted and how much of it is unsure or could not be read."""
        unsure = f"{self.unsure.total():,} of them unsure (below {threshold:.2f})"
        counted = f"{_number(self.images, 'image')} counted, {unsure}"
        return f"{counted}; {_number(self.unreadable, 'file')} could not be read" if self.unreadable else counted


@dataclass(frozen=True)
class Row:
    """One class of a count: its images, and what they come to in ``unit``, with a 95 % interval.

    ``value``, ``low`` and ``high`` are None where there is nothing to relate the count to.
    """

    label: str
    images: int
    unit: str
    value: float | None = None
    low: float | None = None
    high: float | None = None

    def cells(self) -> tuple[str, str]:
        """Return value and interval as tables show them."""
        return ("", "") if self.value is None else (f"{self.value:.1f}", f"{self.low:.1f}–{self.high:.1f}")


def differential(counts: Mapping[str, int], class_names: Sequence[str]) -> list[Row]:
    """Return the rows of a differential count; of classes that are not blood cells the per cent of all images.

    Intervals are Wilson's (1927) for a share; that per 100 leukocytes is the same one of the share of both, as odds.
    """
    if not is_blood(class_names):
        total = sum(counts.get(name, 0) for name in class_names)
        return [_share(name, counts.get(name, 0), total, OF_IMAGES) for name in class_names]
    leukocytes = sum(counts.get(name, 0) for name in LEUKOCYTES)
    rows = [_share(name, counts.get(name, 0), leukocytes, OF_LEUKOCYTES) for name in LEUKOCYTES]
    erythroblasts = counts.get(ERYTHROBLAST, 0)
    return [*rows, _per_100(erythroblasts, leukocytes), Row(PLATELET, counts.get(PLATELET, 0), APART)]


def is_blood(class_names: Sequence[str]) -> bool:
    """Tell whether these are the classes of a differential count, in any order."""
    return set(class_names) == {*LEUKOCYTES, ERYTHROBLAST, PLATELET}


def wilson(successes: int, total: int) -> tuple[float, float]:
    """Return the bounds of Wilson's 95 % interval of a share, on [0, 1]; ``total`` is above 0."""
    from scipy.stats import binomtest  # half a second, and only a count needs it

    interval = binomtest(successes, total).proportion_ci(0.95, method="wilson")
    return float(interval.low), float(interval.high)


def _number(count: int, noun: str) -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def _share(label: str, images: int, total: int, unit: str) -> Row:
    if total == 0:
        return Row(label, images, unit)
    low, high = wilson(images, total)
    return Row(label, images, unit, 100 * images / total, 100 * low, 100 * high)


def _per_100(erythroblasts: int, leukocytes: int) -> Row:
    if leukocytes == 0:
        return Row(ERYTHROBLAST, erythroblasts, PER_100)
    low, high = (100 * bound / (1 - bound) for bound in wilson(erythroblasts, erythroblasts + leukocytes))
    return Row(ERYTHROBLAST, erythroblasts, PER_100, 100 * erythroblasts / leukocytes, low, high)
