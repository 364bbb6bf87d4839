"""The composition of the report: its sections, from the result to the sources."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from report.blocks import Block, Report, Section
from report.comparison_with_papers import reproduction_section
from report.data_and_citations import citations_section, data_section, provenance_section
from report.markdown import to_markdown
from report.material import Material, figures_of
from report.results import cost_section, errors_section, models_section, result_section, search_section

REPORT = "report.md"


def write_report(report: Report, folder: Path) -> Path:
    """Write ``report.md`` into ``folder``; return its path."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / REPORT
    file.write_text(to_markdown(report), encoding="utf-8")
    return file


def compose(material: Material) -> Report:
    """Return the report of a summary, without empty sections."""
    search = material.summary.search
    synthetic = " on synthetic data" if search.provenance["data"]["synthetic"] else ""
    sections: dict[str, Sequence[Block]] = {
        "Result": result_section(material),
        "Data": data_section(material),
        "Search": search_section(material),
        "Reproduction of the published configurations": reproduction_section(material),
        "The models side by side": models_section(material),
        "Errors": errors_section(material),
        "Cost and gain": cost_section(material),
        "Provenance": provenance_section(material),
        "How to cite": citations_section(material),
        "Further figures": figures_of(material, None),
    }
    return Report(
        f"Bloodtune, run {search.name}{synthetic}",
        material.summary.data_sentence,
        tuple(Section(heading, tuple(blocks)) for heading, blocks in sections.items() if blocks),
    )
