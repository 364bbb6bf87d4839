"""Replay of a simulated search: its trials as they stood at any second."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from bloodtune.run.records import RUNNING, TrialRecord
from simulation.loop import Search


def trials_at(search: Search, finished: Sequence[TrialRecord], seconds: float) -> list[TrialRecord]:
    """Return the trials that had started by then, each with the whole epochs that it had trained.

    ``finished`` are the trials at the search's end.
    """
    records = {record.trial: record for record in finished}
    last, found = dict[int, int](), dict[int, int]()
    for report in search.reports:
        trial, each = report.trial, search.curves[report.trial].epochs[0].seconds
        start = report.seconds - each * (report.epoch - last.get(trial, 0))
        if start <= seconds:
            trained = int((seconds - start) / each + 1e-9)
            found[trial] = min(report.epoch, last.get(trial, 0) + trained)
        last[trial] = report.epoch
    return [
        dataclasses.replace(
            records[trial], state=RUNNING, epochs=epochs, train_seconds=epochs * search.curves[trial].epochs[0].seconds
        )
        for trial, epochs in sorted(found.items())
    ]
