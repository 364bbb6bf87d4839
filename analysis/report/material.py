"""Material of the report: a summary with its tables and figures, their sections, and values as text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from figures.style import CaptionedFigure
from report.blocks import FigureBlock, TableBlock
from summary_data import Summary
from tables.files import Table

# Section of a figure by parts of its name. A figure without a section comes at the end.
_FIGURE_SECTIONS = {
    "data": ("sample",),
    "search": ("best_so_far", "learning_curve", "importance", "parallel"),
    "reproduction": ("training_loss", "precision"),
    "model": ("side_by_side", "frontier", "calibration"),
    "errors": ("confusion", "predict"),
}


@dataclass(frozen=True, eq=False)
class Material:
    """A summary with its tables, and its figures by file name."""

    summary: Summary
    tables: Sequence[Table]
    figures: Mapping[str, CaptionedFigure]


def tables_of(material: Material, *numbers: str) -> list[TableBlock]:
    """Return the tables with these numbers, in this order."""
    found = {table.number: table for table in material.tables}
    tables = [found[number] for number in numbers if number in found]
    return [TableBlock(table.panels, table.number, table.caption, table.note) for table in tables]


def figures_of(material: Material, section: str | None) -> list[FigureBlock]:
    """Return the figures of a section; with None, the figures without a section."""
    return [FigureBlock(name, drawn) for name, drawn in material.figures.items() if _section(name) == section]


def _section(stem: str) -> str | None:
    for section, parts in _FIGURE_SECTIONS.items():
        if any(part in stem for part in parts):
            return section
    return None


def seeds_text(count: int) -> str:
    """Return ``one seed``, ``3 seeds``."""
    return "one seed" if count == 1 else f"{count} seeds"


def points(difference: float) -> str:
    """Return a difference on [0, 1] in percentage points, with its sign."""
    return f"{100 * difference:+.1f} points".replace("-", "−")


def value_text(value: Any) -> str:
    """Return a value of provenance.json or of a configuration as text."""
    if isinstance(value, dict):
        return ", ".join(f"{name} {value_text(one)}" for name, one in value.items() if one != [])
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return f"{value:.4g}" if isinstance(value, float) else str(value)
