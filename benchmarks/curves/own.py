"""Our own table: a run of random configurations, packed by curve_tables.py into benchmarks/curves/NAME."""

from __future__ import annotations

import gzip
import tempfile
from pathlib import Path

import numpy as np

from bloodtune.errors import InputError
from bloodtune.run.directory import CURVES, TRIALS, RunDirectory
from bloodtune.run.records import COMPLETE
from curves.curve_tables import FOLDER
from curves.surrogate import Rows
from curves.tables import LAST_EPOCH

FEWEST_ROWS = 30
LOWEST_ERROR = 1e-3  # so that an error of 0 has a logarithm


def own_names() -> list[str]:
    """Return the names of the packed tables."""
    return sorted(file.parent.name for file in FOLDER.glob(f"*/{TRIALS}.gz"))


def own_files(name: str) -> list[Path]:
    """Return the files that ``own_rows`` reads."""
    return [FOLDER / name / f"{file}.gz" for file in (TRIALS, CURVES)]


def own_rows(name: str) -> Rows:
    """Return the trials of a packed run that were trained to the last epoch; the error is 1 - validation macro-F1.

    Raises:
        InputError: there are fewer than ``FEWEST_ROWS`` rows.
    """
    with tempfile.TemporaryDirectory() as scratch:
        for file in own_files(name):
            (Path(scratch) / file.stem).write_bytes(gzip.decompress(file.read_bytes()))
        run = RunDirectory.open(Path(scratch))
        trials, curves = run.trials(), run.curves()
    grouped = dict(tuple(curves.groupby("trial")))
    whole = [t for t in trials if t.state == COMPLETE and len(grouped[t.trial]) == LAST_EPOCH]
    if len(whole) < FEWEST_ROWS:
        raise InputError(f"{FOLDER / name} has {len(whole)} whole curves; at least {FEWEST_ROWS} are needed")
    parts = [grouped[trial.trial].sort_values("epoch") for trial in whole]
    errors = np.clip(1 - np.stack([part["val_macro_f1"].to_numpy() for part in parts]), LOWEST_ERROR, 1)
    seconds = np.array([part["seconds"].median() for part in parts])
    return Rows(tuple(trial.configuration.to_mapping() for trial in whole), errors, seconds)
