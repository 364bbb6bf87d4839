"""The interface of a tracker: what a search tells those that follow it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from bloodtune.run.records import EpochRecord, Proposal, TrialRecord

EXPERIMENT = "bloodtune"


class Tracker(Protocol):
    """Takes in what happens to trials; epochs come in their order, each once."""

    def epochs(self, proposal: Proposal, epochs: Sequence[EpochRecord]) -> None:
        """Take in new epochs of a trial."""

    def finished(self, record: TrialRecord) -> None:
        """Take in the end of a trial."""

    def close(self) -> None:
        """End the search."""
