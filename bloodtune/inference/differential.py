"""Predictions, their tally, and the differential count as laboratories report it.

scipy takes half a second to import, so the function that needs it imports it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np

from bloodtune.data.photographs import describe_left_out
from bloodtune.errors import plural

# In the order of a laboratory report. Erythroblasts are counted per 100 leukocytes, platelets separately.
LEUKOCYTES = ("neutrophil", "immature granulocyte", "eosinophil", "basophil", "lymphocyte", "monocyte")
ERYTHROBLAST, PLATELET = "erythroblast", "platelet"
# Other names of these cells, in lower case, without hyphens and plural s. Folders of Acevedo et al. and of PBC sets
# use many of them.
_OTHER_NAMES = {
    "neutrophil": "neut|neu|ne|bne|sne|band|band neutrophil|segmented neutrophil|neutrophil band|neutrophil segmented|"
    "neutrophil granulocyte|stab|seg",
    "immature granulocyte": "ig|ima|myelocyte|metamyelocyte|promyelocyte|my|mmy|pmy",
    "eosinophil": "eos|eo|eosinophil granulocyte",
    "basophil": "baso|bas|ba|basophil granulocyte",
    "lymphocyte": "lymph|lym|ly",
    "monocyte": "mono|mon|mo",
    ERYTHROBLAST: "erb|ery|eb|nrbc|normoblast|nucleated red blood cell",
    PLATELET: "plt|pl|plat|thrombocyte",
}
_KINDS = {name: kind for kind, names in _OTHER_NAMES.items() for name in (kind, *names.split("|"))}

Box = tuple[int, int, int, int]  # xmin, ymin, xmax, ymax in pixels; the last two are outside

# Of images like the training images, about 3 % are unknown. A count with more than this share, and more than so many
# images, begins with an alarm.
_UNKNOWN_SHARE, _UNKNOWN_IMAGES = 0.1, 2

OF_LEUKOCYTES, PER_100, APART, OF_IMAGES = "% of leukocytes", "per 100 leukocytes", "counted apart", "% of images"


@dataclass(frozen=True, eq=False)
class Prediction:
    """The prediction of one image.

    Attributes:
        source: name of the file, or of an array and its row.
        label: the most probable class.
        second: the second most probable class.
        probabilities: float32 (K,), in the order of the model's class names.
        sure: whether the probability of ``label`` is at least the threshold, and the image is known.
        digest: hexadecimal digest of the network's input; copies of a picture have the same.
        picture: the classified part of the photograph, as a JPEG file; empty unless requested.
        tile: the network's input, uint8 (H, W, C), if a picture is requested.
        field: name of the file of the field of view in which the cell was found; empty for a photograph of one cell.
        box: the box of that cell in the field's pixels.
        known: whether the image is like the training images, as the model's guard tells; True without a guard.
    """

    source: str
    label: str
    second: str
    probabilities: np.ndarray
    sure: bool
    digest: str = ""
    picture: bytes = b""
    tile: np.ndarray | None = None
    field: str = ""
    box: Box | None = None
    known: bool = True

    @property
    def probability(self) -> float:
        """The probability of the most probable class."""
        return float(self.probabilities.max())

    @property
    def second_probability(self) -> float:
        """The probability of the second most probable class."""
        return float(np.partition(self.probabilities, -2)[-2])


@dataclass(frozen=True)
class Unreadable:
    """A file that could not be predicted, with the reason."""

    source: str
    reason: str


@dataclass(frozen=True)
class FieldCount:
    """The count of one field of view; each cell is a ``Prediction`` of its own.

    Attributes:
        source: name of the file.
        cells: number of cells that were classified.
        cut: number of nucleated cells that the border cuts; they are left out.
        small: number of stained objects too small for a nucleus, such as platelets; they are left out.
        microns_per_pixel: scale of the field.
        scale: where the scale comes from: ``12 red cells``, ``nuclei`` or ``given``.
        notes: what a person should check in this field.
        drawn: the field with its boxes as a PNG file; empty unless requested.
        preview: the same, smaller, as a JPEG file; empty unless requested.
    """

    source: str
    cells: int
    cut: int
    small: int
    microns_per_pixel: float
    scale: str
    notes: tuple[str, ...] = ()
    drawn: bytes = b""
    preview: bytes = b""

    def as_mapping(self) -> dict[str, Any]:
        """Return the count without pictures as a JSON object."""
        keys = ("cells", "cut", "small", "microns_per_pixel", "scale", "notes")
        return {"file": self.source} | {key: getattr(self, key) for key in keys}


Result = Prediction | Unreadable | FieldCount


@dataclass
class Tally:
    """Running counts: images per class, unsure images per class, unknown images, copies, unreadable files.

    ``finding`` says that the images are cells found in fields of view, which ``fields`` lists without their pictures.
    ``left_out`` counts the files of a folder that were not even read, by reason. ``copies`` has the sources of each
    image that equals an earlier one, and of that one; both are counted. ``manual`` has the cells per class of a manual
    count to compare with.
    """

    class_names: tuple[str, ...]
    left_out: Counter[str] = field(default_factory=Counter)
    finding: bool = False
    manual: Counter[str] = field(default_factory=Counter)
    fields: list[FieldCount] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    unsure: Counter[str] = field(default_factory=Counter)
    unknown: int = 0
    unreadable: int = 0
    copies: list[tuple[str, str]] = field(default_factory=list)
    _first: dict[str, str] = field(default_factory=dict)

    def add(self, result: Result) -> None:
        """Count one image, one field or one unreadable file."""
        if isinstance(result, FieldCount):
            self.fields.append(replace(result, drawn=b"", preview=b""))
            return
        if isinstance(result, Unreadable):
            self.unreadable += 1
            return
        self.counts[result.label] += 1
        self.unsure[result.label] += not result.sure
        self.unknown += not result.known
        first = self._first.setdefault(result.digest, result.source) if result.digest else result.source
        if first != result.source:
            self.copies.append((result.source, first))

    @property
    def alarm(self) -> str:
        """The sentence that a count with many unknown images begins with, else an empty string."""
        return unknown_alarm(self.unknown, self.images, "cell" if self.finding else "image")

    @property
    def images(self) -> int:
        """The number of images counted."""
        return self.counts.total()

    def rows(self) -> list[Row]:
        """Return the differential count."""
        return differential(self.counts, self.class_names)

    def summary(self, threshold: float) -> str:
        """Return the numbers of images, unsure images, copies, and files that are not counted, in one line."""
        why = f"below {threshold:.2f}" + (" or unlike the training images" if self.unknown else "")
        unsure = f"{self.unsure.total():,} of them unsure ({why})"
        noun = "cell" if self.finding else "image"
        parts = [f"{plural(self.images, noun)}{self._in_fields()} counted, {unsure}"]
        if self.unknown:
            parts.append(f"{self.unknown:,} unlike the training images")
        if self.copies:
            parts.append(f"{plural(len(self.copies), noun)} {'is a copy' if len(self.copies) == 1 else 'are copies'}")
        if self.unreadable:
            parts.append(f"{plural(self.unreadable, 'file')} could not be {'counted' if self.finding else 'read'}")
        if self.left_out:
            parts.append(describe_left_out(self.left_out))
        return "; ".join(parts)

    def _in_fields(self) -> str:
        if not self.finding:
            return ""
        cut, empty = sum(one.cut for one in self.fields), sum(not one.cells for one in self.fields)
        details = [
            f"{cut:,} more cut by a border" if cut else "",
            f"{plural(empty, 'field')} without one" if empty else "",
        ]
        described = ", ".join(filter(None, details))
        return f" in {plural(len(self.fields), 'field')}{f' ({described})' if described else ''}"


def unknown_alarm(unknown: int, images: int, noun: str = "image") -> str:
    """Return the sentence for a count with so many unknown images that it means nothing, else an empty string."""
    if unknown <= max(_UNKNOWN_SHARE * images, _UNKNOWN_IMAGES):
        return ""
    return f"{unknown:,} of {plural(images, noun)} are unlike the training images: do not trust this count."


@dataclass(frozen=True)
class Row:
    """One row of a count: a class, its number of images, and its share with a 95 % interval, in ``unit``.

    ``value``, ``low`` and ``high`` are None if the unit has no share or the denominator is zero.
    """

    label: str
    images: int
    unit: str
    value: float | None = None
    low: float | None = None
    high: float | None = None

    def cells(self) -> tuple[str, str]:
        """Return value and interval as text for tables; both are empty if there is no value."""
        return ("", "") if self.value is None else (f"{self.value:.1f}", f"{self.low:.1f}–{self.high:.1f}")


def differential(counts: Mapping[str, int], class_names: Sequence[str]) -> list[Row]:
    """Return the rows of a differential count. For classes other than blood cells, shares are of all images.

    Rows have the model's own class names, in the order of a laboratory report. Shares have the exact interval of
    Clopper and Pearson (1934), which is the table of Rümke (1979) for counts of any size. The interval per 100
    leukocytes is that of the erythroblasts' share in erythroblasts and leukocytes, converted to odds.
    """
    if not is_blood(class_names):
        total = sum(counts.get(name, 0) for name in class_names)
        return [_share(name, counts.get(name, 0), total, OF_IMAGES) for name in class_names]
    kinds = {name: blood_cell(name) for name in class_names}
    leukocytes = sum(counts.get(name, 0) for name, kind in kinds.items() if kind in LEUKOCYTES)
    rows = []
    for wanted in (*LEUKOCYTES, ERYTHROBLAST, PLATELET):
        for name in (name for name, kind in kinds.items() if kind == wanted):
            found = counts.get(name, 0)
            if wanted in LEUKOCYTES:
                rows.append(_share(name, found, leukocytes, OF_LEUKOCYTES))
            else:
                rows.append(_per_100(name, found, leukocytes) if wanted == ERYTHROBLAST else Row(name, found, APART))
    return rows


def is_blood(class_names: Sequence[str]) -> bool:
    """Return whether all classes are cells of a differential count and two or more are leukocytes, in any order."""
    kinds = [blood_cell(name) for name in class_names]
    return None not in kinds and sum(kind in LEUKOCYTES for kind in kinds) > 1


def blood_cell(name: str) -> str | None:
    """Return the cell of a differential count that a class name means, such as ``Neutrophils`` or ``ig``, or None."""
    plain = " ".join(name.lower().replace("_", " ").replace("-", " ").split())
    return _KINDS.get(plain) or _KINDS.get(plain.removesuffix("s"))


def wilson(successes: int, total: int) -> tuple[float, float]:
    """Return the bounds, 0 to 1, of Wilson's 95 % interval for ``successes / total``; ``total`` is above 0."""
    return _interval(successes, total, "wilson")


def _interval(successes: int, total: int, method: Literal["wilson", "exact"]) -> tuple[float, float]:
    from scipy.stats import binomtest

    interval = binomtest(successes, total).proportion_ci(0.95, method=method)
    return float(interval.low), float(interval.high)


def _share(label: str, images: int, total: int, unit: str) -> Row:
    if total == 0:
        return Row(label, images, unit)
    low, high = _interval(images, total, "exact")
    return Row(label, images, unit, 100 * images / total, 100 * low, 100 * high)


def _per_100(label: str, erythroblasts: int, leukocytes: int) -> Row:
    if leukocytes == 0:
        return Row(label, erythroblasts, PER_100)
    low, high = (100 * bound / (1 - bound) for bound in _interval(erythroblasts, erythroblasts + leukocytes, "exact"))
    return Row(label, erythroblasts, PER_100, 100 * erythroblasts / leukocytes, low, high)
