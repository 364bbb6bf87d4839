"""Weights & Biases tracker: one run per trial, grouped by search."""

from __future__ import annotations

import contextlib
import netrc
import os
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any
from urllib.parse import urlparse

from bloodtune.monitoring.tracker import EXPERIMENT
from bloodtune.run.directory import RunDirectory
from bloodtune.run.records import FAILED, EpochRecord, Proposal, TrialRecord


class WandbTracker:
    """Logs one Weights & Biases run per trial, grouped by the search's name. WANDB_MODE=offline keeps runs local."""

    def __init__(self, run: RunDirectory) -> None:
        self._name = run.name
        self._trials: dict[int, Any] = {}

    def epochs(self, proposal: Proposal, epochs: Sequence[EpochRecord]) -> None:
        """Log epochs of a trial; the first call also logs its configuration."""
        import wandb

        if proposal.trial not in self._trials:
            self._trials[proposal.trial] = wandb.init(
                project=EXPERIMENT,
                group=self._name,
                name=f"trial {proposal.trial}",
                id=f"{self._name}-{proposal.trial}",
                config=proposal.configuration.to_mapping() | {"label": proposal.label},
                resume="allow",
                reinit="create_new",
                settings=wandb.Settings(silent=True, console="off", init_timeout=30),
            )
        for epoch in epochs:
            self._trials[proposal.trial].log(asdict(epoch), step=epoch.epoch)

    def finished(self, record: TrialRecord) -> None:
        """End the trial's run."""
        run = self._trials.pop(record.trial, None)
        if run:
            run.summary["state"] = record.state
            run.finish(exit_code=int(record.state == FAILED))

    def close(self) -> None:
        """End the runs of interrupted trials. A resumed search continues them."""
        for run in self._trials.values():
            run.finish()


def has_wandb_key() -> bool:
    """Return whether Weights & Biases works without its prompt for a key, which the live screen would hide."""
    if os.environ.get("WANDB_MODE") in ("offline", "disabled", "dryrun") or os.environ.get("WANDB_API_KEY"):
        return True
    host = urlparse(os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai")).hostname or ""
    with contextlib.suppress(OSError, UnicodeDecodeError, netrc.NetrcParseError):
        return netrc.netrc(os.environ.get("NETRC")).authenticators(host) is not None
    return False
