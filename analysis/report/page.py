"""The report as one HTML page that needs neither a network nor scripts."""

from __future__ import annotations

import html
from collections.abc import Iterator, Sequence
from itertools import groupby, zip_longest
from pathlib import Path
from typing import Any

import numpy as np

from bloodtune.errors import plural, printable
from bloodtune.inference.templates import png_text, render
from bloodtune.monitoring.live_view import clock
from display_names import FAMILY_NAMES
from figures.style import to_svg
from report.blocks import Block, Bullets, FigureBlock, Inline, Paragraph, Report, Section, Strong, TableBlock
from summary_data import Summary
from tables.files import Panel, numeric_columns

PAGE = "report.html"
MOST_ERRORS = 240

_SIDE_BY_SIDE = {FigureBlock: "figures", TableBlock: "tables"}  # classes of the elements around them


def write_page(summary: Summary, report: Report, folder: Path, explained: Sequence[np.ndarray] = ()) -> Path:
    """Write ``report.html`` into ``folder``; return its path.

    ``explained`` are the first ``MOST_ERRORS`` mistakes with their heat maps, uint8 (H, W, 3); without them the page
    shows the mistakes alone.
    """
    page = render(
        "report.html.j2",
        folder=Path(__file__).parent,
        title=report.title,
        data=report.data,
        synthetic=summary.search.provenance["data"]["synthetic"],
        sections={section.heading: "\n".join(_body(section)) for section in report.sections},
        facts=_facts(summary),
        errors=_errors(summary, explained),
        wrong=len(summary.mistakes),
        class_names=summary.class_names,
    )
    file = folder / PAGE
    file.write_text(page, encoding="utf-8")
    return file


def escape(text: str) -> str:
    """Return text for HTML."""
    return html.escape(printable(text))


def _body(section: Section) -> Iterator[str]:
    """Yield the blocks of a section as HTML. Consecutive figures, or tables, share an element: side by side."""
    for name, blocks in groupby(section.blocks, lambda block: _SIDE_BY_SIDE.get(type(block), "")):
        content = "\n".join(map(_block, blocks))
        yield f'<div class="{name}">{content}</div>' if name else content


def _block(block: Block) -> str:
    match block:
        case Paragraph():
            return f"<p>{''.join(map(_inline, block.parts))}</p>"
        case Bullets():
            return f"<ul>{''.join(f'<li>{escape(item)}</li>' for item in block.items)}</ul>"
        case TableBlock():
            number = f"<strong>Table {block.number}.</strong> " if block.number else ""
            head = f"<p>{number}{escape(block.caption)}</p>" if number or block.caption else ""
            note = f'<p class="note">{escape(block.note)}</p>' if block.note else ""
            return "\n".join(["<div>", head, *map(_panel, block.panels), note, "</div>"])
        case FigureBlock():
            note = f'<p class="note">{escape(block.drawn.note)}</p>' if block.drawn.note else ""
            caption = f"<figcaption>{escape(block.drawn.caption)}{note}</figcaption>"
            picture = f'<div class="scroll">{to_svg(block.drawn)}</div>'
            return f'<figure style="--width:{block.drawn.pixels}px">{picture}{caption}</figure>'


def _inline(part: Inline) -> str:
    return f"<strong>{escape(part.text)}</strong>" if isinstance(part, Strong) else escape(part)


def _panel(panel: Panel) -> str:
    kinds = [' class="number"' if numeric else "" for numeric in numeric_columns(panel.frame)]

    def row(tag: str, cells: tuple[object, ...]) -> str:
        made = (f"<{tag}{kind}>{escape(str(cell))}</{tag}>" for cell, kind in zip(cells, kinds, strict=True))
        return f"<tr>{''.join(made)}</tr>"

    title = f"<p><strong>{escape(panel.title)}</strong></p>" if panel.title else ""
    head = row("th", tuple(panel.frame.columns))
    rows = "\n".join(row("td", tuple(cells)) for cells in panel.frame.itertuples(index=False))
    return f'{title}<div class="scroll"><table><thead>{head}</thead><tbody>{rows}</tbody></table></div>'


def _facts(summary: Summary) -> list[tuple[str, str]]:
    chosen = summary.best.contender
    seeds = summary.measured[chosen.label].seeds
    trials, provenance = summary.search.trials, summary.search.provenance
    facts = [
        (f"{100 * float(np.mean(seeds['accuracy'])):.1f} %", "test accuracy of the chosen model"),
        (f"{100 * float(np.mean(seeds['macro_f1'])):.1f} %", "its macro-F1"),
        (f"{chosen.retrainings[0].parameters:,}", f"parameters, {FAMILY_NAMES[chosen.configuration.family]}"),
        (f"{len(trials)}", "configurations tried"),
    ]
    if "wall_seconds" in provenance:
        facts.append((clock(provenance["wall_seconds"]), f"of search with {plural(provenance['workers'], 'worker')}"))
    return facts


def _errors(summary: Summary, explained: Sequence[np.ndarray]) -> list[dict[str, Any]]:
    """Return the first test images that the chosen model misclassifies."""
    test, class_names = summary.test, summary.class_names
    probabilities = summary.best.median_probabilities
    predicted, confidence = probabilities.argmax(axis=1), probabilities.max(axis=1)
    return [
        {
            "picture": png_text(test.images[row]),
            "explained": png_text(heat) if heat is not None else "",
            "source": summary.test_files[row] if summary.test_files else f"test image {row}",
            "actual": class_names[test.labels[row]],
            "predicted": class_names[predicted[row]],
            "probability": float(confidence[row]),
            "actual_probability": float(probabilities[row, test.labels[row]]),
        }
        for row, heat in zip_longest(summary.mistakes[:MOST_ERRORS], explained)
    ]
