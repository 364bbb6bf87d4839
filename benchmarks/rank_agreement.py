"""Rank agreement of early and final validation scores, the evidence for the first rung.

python -m bloodtune.search --recipe benchmarks/rank_agreement.toml --budget 20 --seed 7 --name rungs --data FILE
python benchmarks/rank_agreement.py runs/rungs
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd
from scipy.stats import spearmanr

from bloodtune.errors import InputError
from bloodtune.run.directory import PROVENANCE, RunDirectory
from bloodtune.run.records import COMPLETE
from bloodtune.space.configuration import Configuration

KEPT = 3  # one in three is promoted at a rung

GROUPS: dict[str, Callable[[Configuration], bool]] = {
    "all": lambda configuration: True,
    "one-cycle or cosine": lambda configuration: configuration.schedule != "constant",
    "EMA": lambda configuration: configuration.ema > 0,
    "residual": lambda configuration: configuration.family == "residual",
}


def rank_agreement(curves: pd.DataFrame, epoch: int) -> dict[str, float]:
    """Compare the ranks at ``epoch`` with the final ranks; ``curves`` has trials as rows and epochs as columns.

    Returns:
        ``spearman``: the rank correlation. ``regret``: by how many points of macro-F1 the best final score falls if
        only the best third at ``epoch`` is kept.
    """
    early, late = curves[epoch], curves[curves.columns.max()]
    kept = early.nlargest(max(1, len(early) // KEPT)).index
    return {"spearman": float(spearmanr(early, late).statistic), "regret": 100 * float(late.max() - late[kept].max())}


def main(argv: Sequence[str] | None = None) -> int:
    """Print a table and, as the last line, the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="a run whose trials were all trained to the last epoch")
    parser.add_argument("--epochs", type=int, nargs="+", default=[1, 2, 3, 4, 6, 9, 18])
    arguments = parser.parse_args(argv)
    try:
        run = RunDirectory.open(arguments.run)
    except InputError as error:
        parser.error(str(error))
    finished = {record.trial: record.configuration for record in run.trials() if record.state == COMPLETE}
    curves = run.curves().pivot_table(index="trial", columns="epoch", values="val_macro_f1")
    rows = []
    for group, belongs in GROUPS.items():
        members = curves.loc[[trial for trial, configuration in finished.items() if belongs(configuration)]]
        if len(members) >= KEPT:
            rows += [
                {"group": group, "trials": len(members), "epoch": epoch, **rank_agreement(members, epoch)}
                for epoch in arguments.epochs
                if epoch in curves.columns
            ]
    table = pd.DataFrame(rows)
    print(table.round(3).to_string(index=False))
    provenance = run.read_json(PROVENANCE)
    print(json.dumps({"rows": rows, "data": provenance["data"]["title"], "machine": provenance["devices"]}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
