"""All tables of the paper in order, and their files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from summary_data import Summary
from tables.classes import confused_pairs_table, per_class_table
from tables.comparison import comparison_table
from tables.files import Table, write_table
from tables.frontier import frontier_table
from tables.published_configurations import configuration_tables
from tables.scores import f1_table
from tables.search import search_table


def all_tables(summary: Summary, generator: np.random.Generator) -> list[Table]:
    """Return all tables of the summary in order; ``generator`` draws the bootstrap samples of table 6.

    Tables 1, 2 and 2b are left out if no published configuration was retrained. Table 6 compares models, so a single
    model has none.
    """
    return [
        *(configuration_tables(summary) if summary.choices.published_by_family else []),
        f1_table(summary),
        per_class_table(summary),
        confused_pairs_table(summary),
        *([comparison_table(summary, generator)] if len(summary.choices.compared()) > 1 else []),
        search_table(summary),
        frontier_table(summary),
    ]


def write_tables(tables: Sequence[Table], folder: Path) -> list[Path]:
    """Write the tables as CSV, Markdown and LaTeX; return the paths."""
    return [path for table in tables for path in write_table(table, folder)]
