"""The report as GitHub Markdown."""

from __future__ import annotations

import re

from bloodtune.errors import escape_markdown
from report.blocks import Block, Bullets, FigureBlock, Inline, Paragraph, Report, Strong, TableBlock
from tables.files import markdown_panel


def to_markdown(report: Report) -> str:
    """Return the report as one Markdown page that links the figures under ``figures/``."""
    blocks = [f"# {escape_markdown(report.title)}", escape_markdown(report.data)]
    for section in report.sections:
        blocks += [f"## {section.heading}", *map(_block, section.blocks)]
    return "\n\n".join(blocks) + "\n"


def _block(block: Block) -> str:
    match block:
        case Paragraph():
            return "".join(map(_inline, block.parts))
        case Bullets():
            return "\n".join(f"- {escape_markdown(item)}" for item in block.items)
        case TableBlock():
            number = f"**Table {block.number}.** " if block.number else ""
            head, note = number + escape_markdown(block.caption), escape_markdown(block.note)
            return "\n\n".join(part for part in (head, *map(markdown_panel, block.panels), note) if part)
        case FigureBlock():
            words = re.sub(r"[^0-9a-zA-Z]+", " ", block.name)
            text = escape_markdown(f"{block.drawn.caption} {block.drawn.note}".strip())
            return f"![{words}](figures/{block.name}.png)\n\n{text}"


def _inline(part: Inline) -> str:
    return f"**{escape_markdown(part.text)}**" if isinstance(part, Strong) else escape_markdown(part)
