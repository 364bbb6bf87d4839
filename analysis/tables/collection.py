"""All tables of the paper, in their order, and their files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from bloodtune.run.directory import PROVENANCE, RunDirectory
from bloodtune.tuning.contender import TestedContender
from captions import data_sentence
from scores import Measured
from selection import Choices
from tables.configurations import configuration_tables
from tables.files import Table, write_table
from tables.scores import comparison_table, confused_pairs_table, f1_table, per_class_table
from tables.search import search_table


def all_tables(
    run: RunDirectory,
    tested: Sequence[TestedContender],
    measured: Mapping[str, Measured],
    labels: np.ndarray,
    class_names: Sequence[str],
    choices: Choices,
    generator: np.random.Generator,
    control: RunDirectory | None = None,
) -> list[Table]:
    """Return every table of the summary, in their order.

    ``measured`` has the scores of each contender by label (``intervals.measure``); ``labels`` (N,) are those
    of the test split.
    """
    data = data_sentence(run.read_json(PROVENANCE))
    contenders = [one.contender for one in tested]
    return [
        *configuration_tables(contenders, data),
        f1_table(tested, measured, class_names, choices, data),
        per_class_table(tested, labels, class_names, choices, data),
        confused_pairs_table(tested, labels, class_names, choices, data),
        comparison_table(tested, labels, choices, data, generator),
        search_table(run, tested, measured, choices, data, control),
    ]


def write_tables(tables: Sequence[Table], folder: Path) -> list[Path]:
    """Write every table as CSV, Markdown and LaTeX; return the paths."""
    return [
        path for table in tables for path in write_table(table.frame, table.caption, folder, table.name, table.panels)
    ]
