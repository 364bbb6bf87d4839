"""Blocks of the report: paragraph, list, table and figure, rendered as Markdown and HTML."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from figures.style import CaptionedFigure
from tables.files import Panel


@dataclass(frozen=True)
class Strong:
    """Text in bold."""

    text: str


Inline: TypeAlias = str | Strong


@dataclass(frozen=True)
class Paragraph:
    """A paragraph of plain and bold text, joined without spaces."""

    parts: tuple[Inline, ...]


@dataclass(frozen=True)
class Bullets:
    """A list of plain sentences."""

    items: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class TableBlock:
    """Panels between a caption and a note. ``number`` is the number of the table, e.g. ``2b``, if it has one."""

    panels: tuple[Panel, ...]
    number: str = ""
    caption: str = ""
    note: str = ""


@dataclass(frozen=True, eq=False)
class FigureBlock:
    """A figure with the name of its files under ``figures/``."""

    name: str
    drawn: CaptionedFigure


Block: TypeAlias = Paragraph | Bullets | TableBlock | FigureBlock


@dataclass(frozen=True)
class Section:
    """A heading and the blocks below it."""

    heading: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class Report:
    """The whole report. ``data`` is the sentence below the title that names the data."""

    title: str
    data: str
    sections: tuple[Section, ...]


def paragraph(*parts: Inline) -> Paragraph:
    """Return a paragraph of these parts."""
    return Paragraph(parts)
