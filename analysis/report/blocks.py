"""Blocks of the report: paragraph, list, table and figure, which Markdown and HTML are rendered from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from figures.style import CaptionedFigure
from tables.files import Panel


@dataclass(frozen=True)
class Strong:
    """Text in bold."""

    text: str


@dataclass(frozen=True)
class Code:
    """Text in a fixed-width font."""

    text: str


Inline: TypeAlias = str | Strong | Code


@dataclass(frozen=True)
class Paragraph:
    """A paragraph of plain, bold and fixed-width text, joined without spaces."""

    parts: tuple[Inline, ...]


@dataclass(frozen=True)
class Bullets:
    """A list of plain sentences."""

    items: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class TableBlock:
    """Panels between caption and note; ``number`` is that of a numbered table, e.g. ``2b``."""

    panels: tuple[Panel, ...]
    number: str = ""
    caption: str = ""
    note: str = ""


@dataclass(frozen=True, eq=False)
class FigureBlock:
    """A figure and the name of its files under ``figures/``."""

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
    """The whole report; ``data`` is the sentence that names the data, which stands once below the title."""

    title: str
    data: str
    sections: tuple[Section, ...]


def paragraph(*parts: Inline) -> Paragraph:
    """Return a paragraph of these parts."""
    return Paragraph(parts)
