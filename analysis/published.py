"""Published results in papers.toml: reading, checks, and metrics recomputed from confusion matrices."""

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
    """A paper, its printed split sizes (None if it prints none), and remarks on its gaps and contradictions."""

    key: str
    name: str
    citation: str
    split_sizes: Mapping[str, int] | None
    remarks: tuple[str, ...]


@dataclass(frozen=True)
class ConfigurationTable:
    """A paper's table of hyperparameters, with the values that the paper leaves out.

    ``rows`` are as printed. ``assumed`` describes missing values in words, ``filled`` names the fields of
    ``Configuration`` that hold them. ``labels`` name the configurations of all columns but the first.
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
    """The published scores of one configuration on the official test split.

    ``weighted_f1`` and ``accuracy`` are from the paper's text, on [0, 1]. ``matrix`` (8, 8) has true classes in rows.
    A value that the paper does not give is None.
    """

    label: str
    paper: str
    family: str
    weighted_f1: float | None
    accuracy: float | None
    matrix: np.ndarray | None

    def recomputed(self) -> dict[str, float]:
        """Return the metrics of the matrix, on [0, 1]; empty without a matrix."""
        if self.matrix is None:
            return {}
        return {name: float(value) for name, value in matrix_scores(self.matrix).items()}

    def disagreement(self) -> str | None:
        """Return a clause on text and matrix if their weighted F1 differs at two decimals, else None."""
        from_matrix = self.recomputed().get("weighted_f1")
        if self.weighted_f1 is None or from_matrix is None:
            return None
        text, matrix = f"{100 * self.weighted_f1:.2f}", f"{100 * from_matrix:.2f}"
        if text == matrix:
            return None
        return f"{self.label}: the text gives a weighted F1 of {text} %, the paper's own matrix {matrix} %"


@dataclass(frozen=True)
class Papers:
    """The content of papers.toml. ``results`` are by label, in the papers' order."""

    papers: tuple[Paper, ...]
    tables: tuple[ConfigurationTable, ...]
    results: Mapping[str, PublishedResult]
    split_sizes: Mapping[str, int]
    test_counts: tuple[int, ...]

    def disagreements(self) -> list[str]:
        """Return one clause per configuration whose text and matrix differ."""
        return [clause for result in self.results.values() if (clause := result.disagreement())]

    def weighted_f1_percent(self) -> dict[str, float]:
        """Return the weighted F1 of the papers' texts, in percent, by label."""
        return {r.label: 100 * r.weighted_f1 for r in self.results.values() if r.weighted_f1 is not None}

    def matrices(self, family: str) -> list[np.ndarray]:
        """Return the published confusion matrices (8, 8) of a family."""
        return [r.matrix for r in self.results.values() if r.family == family and r.matrix is not None]


@lru_cache
def load_papers(file: Path = PAPERS) -> Papers:
    """Read the published results.

    Raises:
        ValueError: the shape or a row sum of a matrix does not fit the official test split.
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
            raise ValueError(f"{file.name}: {entry['label']}: matrix {matrix.shape}, expected {(len(counts),) * 2}")
        for row, (found, count) in enumerate(zip(matrix.sum(axis=1), counts, strict=True)):
            if found != count:
                raise ValueError(f"{file.name}: {entry['label']}: row {row} sums to {found}, expected {count}")
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
