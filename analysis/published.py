"""The published numbers of papers.toml: read, checked, and recomputed from the papers' confusion matrices."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from scores import matrix_scores

PAPERS = Path(__file__).with_name("papers.toml")


@dataclass(frozen=True)
class Paper:
    """A paper, the split sizes as it prints them (None: it does not) and where it is silent or off."""

    key: str
    name: str
    citation: str
    split_sizes: Mapping[str, int] | None
    remarks: tuple[str, ...]


@dataclass(frozen=True)
class ConfigurationTable:
    """A paper's table of hyperparameters: ``rows`` as printed, the rest is what had to be added.

    ``assumed`` says it in words, ``filled`` names fields of the configurations that say it, ``labels`` the
    configuration of each column but the first.
    """

    name: str
    paper: str
    family: str
    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    assumed: Mapping[str, str]
    filled: tuple[str, ...]
    labels: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class PublishedResult:
    """What a paper says one configuration reached on the official test split.

    ``weighted_f1`` and ``accuracy`` are the text's, on [0, 1]; ``matrix`` (8, 8) has the truth in rows.
    Each is None where the paper does not give it.
    """

    label: str
    paper: str
    family: str
    weighted_f1: float | None
    accuracy: float | None
    matrix: np.ndarray | None

    def recomputed(self) -> dict[str, float]:
        """Return every metric that the matrix gives, on [0, 1]; empty without a matrix."""
        if self.matrix is None:
            return {}
        return {name: float(value) for name, value in matrix_scores(self.matrix).items()}

    def disagreement(self) -> str | None:
        """Say where text and matrix differ at the two decimals that are printed; None where they agree."""
        from_matrix = self.recomputed().get("weighted_f1")
        if self.weighted_f1 is None or from_matrix is None:
            return None
        text, matrix = f"{100 * self.weighted_f1:.2f}", f"{100 * from_matrix:.2f}"
        if text == matrix:
            return None
        return f"{self.label}: the text gives a weighted F1 of {text} %, the paper's own matrix {matrix} %"


@dataclass(frozen=True)
class Papers:
    """All of papers.toml; ``results`` by label, in the papers' order."""

    papers: tuple[Paper, ...]
    tables: tuple[ConfigurationTable, ...]
    results: Mapping[str, PublishedResult]
    split_sizes: Mapping[str, int]
    test_counts: tuple[int, ...]

    def disagreements(self) -> list[str]:
        """Return a clause for each configuration whose text and matrix differ."""
        return [clause for result in self.results.values() if (clause := result.disagreement())]

    def weighted_f1_percent(self) -> dict[str, float]:
        """Return the texts' weighted F1 in percent, by label."""
        return {r.label: 100 * r.weighted_f1 for r in self.results.values() if r.weighted_f1 is not None}

    def matrices(self, family: str) -> list[np.ndarray]:
        """Return the matrices (8, 8) that were published for a family."""
        return [r.matrix for r in self.results.values() if r.family == family and r.matrix is not None]


@lru_cache
def load_papers(file: Path = PAPERS) -> Papers:
    """Read the published numbers.

    Raises:
        ValueError: a matrix whose shape or row sums are not those of the official test split.
    """
    content = tomllib.loads(file.read_text(encoding="utf-8"))
    counts = tuple(content["data"]["test_counts"])
    return Papers(
        papers=tuple(
            Paper(p["key"], p["name"], p["citation"], p.get("split_sizes"), tuple(p["remarks"]))
            for p in content["paper"]
        ),
        tables=tuple(_table(table) for table in content["table"]),
        results={entry["label"]: _result(entry, counts, file) for entry in content["configuration"]},
        split_sizes=content["data"]["split_sizes"],
        test_counts=counts,
    )


def _table(entry: Mapping[str, Any]) -> ConfigurationTable:
    lists = {key: tuple(entry[key]) for key in ("columns", "filled", "labels")}
    rows = tuple(tuple(row) for row in entry["rows"])
    return ConfigurationTable(**{**entry, **lists, "rows": rows})


def _result(entry: Mapping[str, Any], counts: tuple[int, ...], file: Path) -> PublishedResult:
    matrix = np.array(entry["matrix"], dtype=np.int64) if "matrix" in entry else None
    if matrix is not None:
        if matrix.shape != (len(counts), len(counts)):
            raise ValueError(
                f"{file.name}: {entry['label']}: matrix {matrix.shape}, expected {len(counts)} x {len(counts)}"
            )
        for row, (found, count) in enumerate(zip(matrix.sum(axis=1), counts, strict=True)):
            if found != count:
                raise ValueError(f"{file.name}: {entry['label']}: row {row} sums to {found}, the class has {count}")
    return PublishedResult(
        label=entry["label"],
        paper=entry["paper"],
        family=entry["family"],
        weighted_f1=_share(entry, "weighted_f1_percent"),
        accuracy=_share(entry, "accuracy_percent"),
        matrix=matrix,
    )


def _share(entry: Mapping[str, Any], key: str) -> float | None:
    return entry[key] / 100 if key in entry else None
