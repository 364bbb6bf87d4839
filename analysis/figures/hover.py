"""Hover texts of trials in figures: score, epochs and configuration."""

from __future__ import annotations

from collections.abc import Sequence

from bloodtune.run.records import TrialRecord
from bloodtune.space.configuration import describe


def hover_titles(trials: Sequence[TrialRecord]) -> dict[str, str]:
    """Return the hover text of each trial, by the gid ``trial N`` of its line."""
    return {f"trial {record.trial}": _title(record) for record in trials}


def _title(record: TrialRecord) -> str:
    score = "no score" if record.best_val_macro_f1 is None else f"{record.best_val_macro_f1:.4f}"
    label = f"{record.label}: " if record.label else ""
    return f"trial {record.trial}, {score}, {record.epochs} epochs. {label}{describe(record.configuration)}"
