"""A manual count beside ours: its table, and the classes in which the two differ by more than chance.

scipy takes half a second to import, so the function that needs it imports it.
"""

from __future__ import annotations

import csv
import dataclasses
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bloodtune.errors import InputError, one_line
from bloodtune.inference.class_names import find_class, same_cell
from bloodtune.inference.differential import APART, PER_100, Row, Tally, differential

# Chance alone flags a class in at most one of 20 comparisons of two counts, whatever their number of classes.
LEVEL = 0.05
METHOD = f"Fisher's exact test, {100 * LEVEL:.0f} % over all classes (Bonferroni)"
DIFFERS = "more than chance"

_MANY_BYTES = 1_000_000  # of a table with one row per class


@dataclass(frozen=True)
class ComparedRow:
    """A class in the manual count and in ours, with the p-value of Fisher's exact test; None if it has no share."""

    manual: Row
    ours: Row
    p_value: float | None
    differs: bool

    @property
    def verdict(self) -> str:
        """The result of the test in words; empty if there is no test."""
        return "" if self.p_value is None else DIFFERS if self.differs else "as chance allows"

    @property
    def shown_p_value(self) -> str:
        """The p-value as text; empty if there is no test."""
        return "" if self.p_value is None else "<0.001" if self.p_value < 0.001 else f"{self.p_value:.3f}"

    def as_mapping(self) -> dict[str, Any]:
        """Return the row as a JSON object."""
        both = {"manual": dataclasses.asdict(self.manual), "here": dataclasses.asdict(self.ours)}
        return {"class": self.ours.label, **both, "p_value": self.p_value, "differs": self.differs}


def read_manual_count(file: Path, class_names: Sequence[str]) -> Counter[str]:
    """Read a CSV table with the columns ``class`` and ``count`` (cells) as counts by the model's class names.

    A class may have any name of the model's class, such as ``Neut`` or ``ig``; rows of one class are added up, such as
    band and segmented neutrophils. If the model has several classes of one cell, only their own names are allowed.

    Raises:
        InputError: the table cannot be read, or has a class that the model does not know, or a count that is no number
            of cells.
    """
    try:
        if file.stat().st_size > _MANY_BYTES:
            raise InputError(f"{file}: too large for a count with one row per class")
        lines = list(csv.reader(file.read_text(encoding="utf-8-sig").splitlines()))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{file}: cannot be read: {one_line(error)}") from None
    rows = [[cell.strip() for cell in row] for row in lines if any(cell.strip() for cell in row)]
    if not rows or [cell.lower() for cell in rows[0][:2]] != ["class", "count"]:
        raise InputError(f"{file}: the first line must be class,count; below it one line per class, such as monocyte,7")
    found: Counter[str] = Counter()
    for label, count, *_ in ([*row, ""] for row in rows[1:]):
        index = find_class(label, class_names)
        if index is None:
            if meant := same_cell(label, class_names):
                raise InputError(f"{file}: {label!r} may be {' or '.join(meant)}; allowed: these names")
            raise InputError(f"{file}: the model has no class {label!r}; it has {', '.join(class_names)}")
        if not (count.isascii() and count.isdigit() and len(count) < 10):
            raise InputError(f"{file}: count {count!r} of {label}: expected a whole number of cells below a billion")
        found[class_names[index]] += int(count)
    if not found.total():
        raise InputError(f"{file}: no cell was counted")
    return found


def compare_counts(tally: Tally) -> list[ComparedRow]:
    """Return the manual count and ours, class by class, and whether they differ by more than chance.

    Each class against all others is a table of two by two for Fisher's exact test. Platelets are counted apart and have
    no test, nor has a class if one count has no cell to compare with. Without a manual count the list is empty.
    """
    if not tally.manual:
        return []
    from scipy.stats import fisher_exact

    manual, ours = differential(tally.manual, tally.class_names), tally.rows()
    tests = sum(row.unit != APART for row in ours)
    compared = []
    for one, other in zip(manual, ours, strict=True):
        table = [[one.images, _others(one, manual)], [other.images, _others(other, ours)]]
        if one.unit == APART or not all(map(sum, table)):
            compared.append(ComparedRow(one, other, None, False))
            continue
        p_value = float(fisher_exact(table).pvalue)
        compared.append(ComparedRow(one, other, p_value, p_value * tests < LEVEL))
    return compared


def _others(row: Row, rows: Sequence[Row]) -> int:
    # Shares of leukocytes leave erythroblasts out; erythroblasts are compared with the leukocytes.
    others = [one for one in rows if one is not row and one.unit not in (APART, PER_100)]
    return sum(one.images for one in others)
