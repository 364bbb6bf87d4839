"""The tables of the published configurations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from bloodtune.tuning.retrained_models import Contender
from published import ConfigurationTable, load_papers
from summary_data import Summary
from tables.files import Panel, Table
from tables.number_format import NOTHING


def configuration_tables(summary: Summary) -> list[Table]:
    """Return tables 1, 2 and 2b: the papers' tables, with values used here added in rows marked *."""
    return [_configuration_table(table, summary.contenders, summary.mark) for table in load_papers().tables]


def _configuration_table(table: ConfigurationTable, contenders: Mapping[str, Contender], mark: str) -> Table:
    ours = [contenders.get(label) for label in table.labels]
    rows = [list(row) for row in table.rows]
    for name in table.filled:
        rows.append([f"{name.replace('_', ' ').title()}*", *(_filled(contender, name) for contender in ours)])
    rows.append(["Epochs Trained*", *(_epochs(contender) for contender in ours)])
    frame = pd.DataFrame(rows, columns=list(table.columns))
    assumed = "; ".join(f"{name} {value}" for name, value in table.assumed.items())
    note = (
        "Rows marked * are not in the paper but were used here. Epochs are of the seed that is median on validation, "
        f"with the kept epoch in brackets. Also assumed: {assumed}."
    )
    return Table(table.name, f"{table.title}.", frame, (Panel("", frame),), note, mark)


def _filled(contender: Contender | None, name: str) -> str:
    value: Any = getattr(contender.configuration, name) if contender else None
    return NOTHING if value is None else f"{value:g}"


def _epochs(contender: Contender | None) -> str:
    if contender is None:
        return NOTHING
    retraining = contender.retrainings[contender.median]
    return f"{retraining.epochs} (kept: {retraining.best_epoch})"
