"""The report as a page: the same words, tables and figures in one file that needs no network and no scripts."""

from __future__ import annotations

import base64
import html
import io
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from markdown_it import MarkdownIt
from PIL import Image

from bloodtune.data.npz import Split
from bloodtune.inference.templates import render
from bloodtune.monitoring.live_view import clock
from bloodtune.run.records import TrialRecord
from bloodtune.space.configuration import describe
from bloodtune.tuning.contender import TestedContender
from captions import FAMILY_NAMES
from figures.style import CaptionedFigure, to_svg
from report.text import Material, sections, title

PAGE = "report.html"
MOST_ERRORS = 240  # as pictures: the surest ones

_FIGURE = re.compile(r'<p><img src="figures/([^"]+)\.png" alt="[^"]*" ?/?></p>\s*<p>(.*?)</p>', re.DOTALL)
_TRIAL = re.compile(r'<g id="trial (\d+)">')


def write_page(
    material: Material, figures: Mapping[str, CaptionedFigure], best: TestedContender, test: Split, folder: Path
) -> Path:
    """Write ``report.html`` into ``folder``; ``best`` is the chosen model on the test split."""
    markdown = MarkdownIt("commonmark", {"html": False}).enable("table")
    trials = {record.trial: record for record in material.run.trials()}
    drawn = {name: _with_titles(to_svg(figure), trials) for name, figure in figures.items()}

    def body(blocks: list[str]) -> str:
        text = markdown.render("\n\n".join(block.strip("\n") for block in blocks))
        text = _FIGURE.sub(lambda found: _figure(drawn[found[1]], found[2]), text)
        text = text.replace("<table>", '<div class="scroll"><table>').replace("</table>", "</table></div>")
        return text.replace(' style="text-align:right"', ' class="number"').replace(' style="text-align:left"', "")

    page = render(
        "report.html.j2",
        folder=Path(__file__).parent,
        title=title(material),
        synthetic=material.provenance["data"]["synthetic"],
        sections={name: body(blocks) for name, blocks in sections(material).items()},
        facts=_facts(material),
        errors=_errors(best, test, material.class_names),
        wrong=int((best.median_probabilities.argmax(axis=1) != test.labels).sum()),
        class_names=material.class_names,
    )
    file = folder / PAGE
    file.write_text(page, encoding="utf-8")
    return file


def _figure(svg: str, caption: str) -> str:
    return f'<figure><div class="scroll">{svg}</div><figcaption>{caption}</figcaption></figure>'


def _with_titles(svg: str, trials: Mapping[int, TrialRecord]) -> str:
    """Let the lines of trials say what they are where a pointer rests on them."""

    def name(found: re.Match[str]) -> str:
        record = trials[int(found[1])]
        score = "no score" if record.best_val_macro_f1 is None else f"{record.best_val_macro_f1:.4f}"
        label = f"{record.label}: " if record.label else ""
        text = f"trial {record.trial}, {score}, {record.epochs} epochs. {label}{describe(record.configuration)}"
        return f'<g class="trial"><title>{html.escape(text)}</title>'

    svg = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", svg, count=1)
    width = re.search(r'viewBox="0 0 ([\d.]+)', svg)
    points = float(width[1]) if width else 500.0
    return _TRIAL.sub(name, svg).replace("<svg", f'<svg style="width:{points * 1.9:.0f}px" role="img"', 1)


def _facts(material: Material) -> list[tuple[str, str]]:
    chosen = material.contenders[material.choices.best]
    seeds = material.measured[chosen.label].seeds
    trials, provenance = material.run.trials(), material.provenance
    facts = [
        (f"{100 * float(np.mean(seeds['accuracy'])):.1f} %", "test accuracy of the chosen model"),
        (f"{100 * float(np.mean(seeds['macro_f1'])):.1f} %", "its macro-F1"),
        (f"{chosen.retrainings[0].parameters:,}", f"parameters, {FAMILY_NAMES[chosen.configuration.family]}"),
        (f"{len(trials)}", "configurations tried"),
    ]
    if "wall_seconds" in provenance:
        facts.append((clock(provenance["wall_seconds"]), f"of search with {provenance['workers']} workers"))
    return facts


def _errors(best: TestedContender, test: Split, class_names: Any) -> list[dict[str, Any]]:
    """Return the test images that the model has wrong, the surest first."""
    probabilities = best.median_probabilities
    predicted, confidence = probabilities.argmax(axis=1), probabilities.max(axis=1)
    wrong = np.flatnonzero(predicted != test.labels)
    return [
        {
            "picture": _png(test.images[row]),
            "row": int(row),
            "actual": class_names[test.labels[row]],
            "predicted": class_names[predicted[row]],
            "probability": float(confidence[row]),
            "actual_probability": float(probabilities[row, test.labels[row]]),
        }
        for row in wrong[np.argsort(-confidence[wrong], kind="stable")][:MOST_ERRORS]
    ]


def _png(image: np.ndarray) -> str:
    stream = io.BytesIO()
    Image.fromarray(image.squeeze()).save(stream, "PNG", optimize=True)
    return base64.b64encode(stream.getvalue()).decode()
