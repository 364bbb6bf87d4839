"""A trial that was proposed and has not finished: on a worker, paused at a rung, or waiting for a retry."""

from __future__ import annotations

from dataclasses import dataclass, field

from bloodtune.run.records import EpochRecord, Proposal, TrialRecord, make_record


@dataclass
class LiveTrial:
    """A trial that was proposed and has not finished, with its epochs so far.

    ``overdue`` and ``stopped`` say why the trial was killed or pruned; they are empty while it may go on.
    ``is_pausing`` tells that it leaves its worker to wait at a rung. ``records_steps`` is false after a failure on a
    GPU that recorded steps may have caused.
    """

    proposal: Proposal
    started: str
    epochs: list[EpochRecord] = field(default_factory=list)
    retries: int = 0
    parameters: int | None = None
    overdue: str = ""
    stopped: str = ""
    is_pausing: bool = False
    records_steps: bool = True

    @property
    def number(self) -> int:
        """The trial's number in the search."""
        return self.proposal.trial

    def record(self, state: str, message: str = "") -> TrialRecord:
        """Return the row of ``trials.csv`` if the trial finished now."""
        return make_record(
            self.proposal,
            self.epochs,
            state,
            message=message,
            parameters=self.parameters,
            started=self.started,
            retries=self.retries,
        )
