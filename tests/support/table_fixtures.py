"""All tables of an invented summary."""

from pathlib import Path

import numpy as np

from summary_fixtures import fake_contenders, fake_run, make_summary
from tables.all_tables import all_tables
from tables.files import Table

TABLE_NAMES = [
    "table1_mlnn_configurations",
    "table2_cnn_configurations",
    "table2b_lightweight_configuration",
    "table3_f1",
    "table4_per_class",
    "table5_confused_pairs",
    "table6_mcnemar",
    "table7_search",
    "table8_frontier",
]


def make_tables(
    folder: Path,
    *,
    classes: int = 8,
    synthetic: bool = False,
    control: bool = False,
    keep: tuple[str, ...] | None = None,
) -> dict[str, Table]:
    tested, labels, names = fake_contenders(classes=classes)
    if keep is not None:
        tested = [one for one in tested if one.contender.label in keep]
    run = fake_run(folder / "a_run", synthetic=synthetic)
    random = fake_run(folder / "random", trials=12) if control else None
    tables = all_tables(make_summary(run, tested, labels, names, random, 100), np.random.default_rng(0))
    return {table.name: table for table in tables}
