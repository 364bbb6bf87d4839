"""Tracker interface: the events of a search that TensorBoard, MLflow and Weights & Biases receive."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from bloodtune.run.records import EpochRecord, Proposal, TrialRecord

EXPERIMENT = "bloodtune"


class Tracker(Protocol):
    """Receives the events of trials. The epochs of a trial arrive in order, each exactly once."""

    def epochs(self, proposal: Proposal, epochs: Sequence[EpochRecord]) -> None:
        """Record new epochs of a trial."""

    def finished(self, record: TrialRecord) -> None:
        """Record the end of a trial."""

    def close(self) -> None:
        """End the search."""
