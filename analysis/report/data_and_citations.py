"""Sections of the report on sources: data and leakage audit, provenance, and works to cite."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from bloodtune.data.audit import Audit, small_split_note
from bloodtune.data.folds import scored_counts
from display_names import official_name
from published import load_papers
from report.blocks import Block, Bullets, Paragraph, Strong, TableBlock, paragraph
from report.material import Material, figures_of, value_text
from tables.files import Panel


def data_section(material: Material) -> list[Block]:
    """Return the section on the validity of scores on these data, the class counts and the leakage audit."""
    data = material.summary.search.provenance["data"]
    counts = data.get("class_counts", {})
    frame = pd.DataFrame({"Class": [*data["class_names"], "all"]})
    for split, size in data["split_sizes"].items():
        by_class = counts.get(split, [None] * len(data["class_names"]))
        frame[split] = [*("–" if count is None else f"{count:,}" for count in by_class), f"{size:,}"]
    blocks: list[Block] = [*_validity(data, material.summary.is_blood)]
    blocks.append(TableBlock((Panel("Images of each class and split", frame),)))
    if data.get("audit"):
        audit = ". ".join(_capital(sentence) for sentence in Audit.from_mapping(data["audit"]).sentences())
        blocks.append(paragraph(f"Leakage audit of the three splits. {audit}."))
    folds = data.get("preparation", {}).get("folds")
    note = small_split_note(scored_counts(counts, folds), folds) if counts.get("val") else ""
    said = [*data.get("notes", ()), note]
    if any(said):
        blocks.append(Bullets(tuple(f"{_capital(sentence)}." for sentence in said if sentence)))
    if material.summary.is_blood:
        blocks += _misprinted_sizes()
    return blocks + figures_of(material, "data")


def _misprinted_sizes() -> list[Paragraph]:
    """Return one paragraph per paper whose text gives other split sizes than the official ones."""
    official = load_papers().split_sizes
    return [
        paragraph(
            f"The text of the {paper.name} gives {paper.split_sizes['val']:,} validation and "
            f"{paper.split_sizes['test']:,} test images. This is a misprint: the official split has "
            f"{official['val']:,} and {official['test']:,}, and the paper's own confusion matrices have the official "
            "number of test images."
        )
        for paper in load_papers().papers
        if paper.split_sizes and paper.split_sizes != official
    ]


def _validity(data: Mapping[str, Any], compares: bool) -> list[Paragraph]:
    """Return a paragraph on the validity of scores on these data; none for an official file."""
    if data["synthetic"]:
        rest = (
            " They show that the program works. No number on this page says anything about blood cells. Published "
            "values are shown only as an example of the layout."
        )
        return [paragraph(Strong("These images are synthetic."), rest)]
    if compares and official_name(data["md5"]) is None:
        return [
            paragraph(
                "The assignment of images to splits is not the official choice. Scores can be compared with published "
                "scores of BloodMNIST, but they are not scores on its official split."
            )
        ]
    return []


def _capital(sentence: str) -> str:
    return sentence[:1].upper() + sentence[1:]


def provenance_section(material: Material) -> list[Block]:
    """Return the section on command, machine, data with its MD5, and versions."""
    provenance = material.summary.search.provenance
    names = ("command", "budget", "seed", "workers", "devices", "started", "ended", "git_commit")
    rows = {name.replace("_", " "): provenance[name] for name in names if provenance.get(name) is not None}
    rows |= {f"data {name}": provenance["data"].get(name) for name in ("source", "md5")}
    rows |= {f"{name} version": version for name, version in provenance.get("versions", {}).items()}
    frame = pd.DataFrame({"Item": list(rows), "Value": [value_text(value) for value in rows.values()]})
    return [TableBlock((Panel("", frame),))]


def citations_section(material: Material) -> list[Block]:
    """Return the section on program, data sets, papers and methods to cite."""
    data = material.summary.search.provenance["data"]
    sources = []
    if not data["synthetic"]:
        sources.append("J. Yang et al., MedMNIST v2, Scientific Data 10, 41 (2023).")
        if material.summary.is_blood:
            sources.append(
                "A. Acevedo et al., A dataset of microscopic peripheral blood cell images for development of "
                "automatic recognition systems, Data in Brief 30, 105474 (2020)."
            )
    sources += [paper.citation for paper in load_papers().papers]
    sources += [
        "L. Li et al., A System for Massively Parallel Hyperparameter Tuning (ASHA), MLSys (2020).",
        "T. Akiba et al., Optuna: A Next-generation Hyperparameter Optimization Framework, KDD (2019).",
        "R. Liaw et al., Tune: A Research Platform for Distributed Model Selection and Training (2018).",
    ]
    commit = material.summary.search.provenance.get("git_commit")
    program = f"Bloodtune{f', commit {commit[:12]}' if commit else ''}, run {material.summary.search.name}."
    return [Bullets((program, *sources))]
