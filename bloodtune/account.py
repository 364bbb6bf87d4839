"""What provenance.json says of a search: each start of it, and what it spent in all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from bloodtune import provenance
from bloodtune.mend import mend
from bloodtune.plan import Plan
from bloodtune.records import EpochRecord
from bloodtune.run import PROVENANCE, RunDirectory


def describe_start(plan: Plan, resources: dict[str, float]) -> dict[str, Any]:
    """Return what ``run_plan`` puts on record of this start; ``resources`` are those of the Ray that is connected."""
    return {
        **provenance.describe_software(),
        "seed": plan.seed,
        "budget": plan.budget,
        "recipe": plan.recipe.description,
        "max_epochs": plan.recipe.asha.max_epochs,
        "workers": plan.workers,
        "gpus_per_trial": plan.gpus_per_trial,
        **plan.numerics.to_mapping(),
        "reasons": dict(plan.reasons),
        "devices": provenance.describe_machine(resources),
        "data": provenance.describe_data(plan.dataset),
        "started": provenance.now(),
    }


def begin(run: RunDirectory, start: dict[str, Any], say: Callable[..., None]) -> dict[str, Any]:
    """Mend the run's records, put this start on record, and return the record; ``say`` takes what was mended."""
    whole = mend(run)
    say(*whole.notes)
    # What interrupted trials spent was spent, though they train it again.
    record = run.read_json(PROVENANCE)
    _discard(record, whole.discarded)
    if record["started"] != start["started"]:
        changed = {key: start[key] for key in ("command", "versions", "git_commit", "workers", "devices", "started")}
        record["resumed"] = [*record.get("resumed", []), changed]
        record["budget"] = start["budget"]
        record = {key: start[key] for key in ("precision", "plain_layers")} | record  # older runs did not say
        record["data"] = start["data"]  # the same by its MD5; the file may have moved
    run.write_json(PROVENANCE, record | {"ended": None})
    return record


def _discard(record: dict[str, Any], epochs: Sequence[EpochRecord]) -> None:
    record["discarded_epochs"] = record.get("discarded_epochs", 0) + len(epochs)
    seconds = sum(epoch.seconds for epoch in epochs)
    record["discarded_seconds"] = round(record.get("discarded_seconds", 0.0) + seconds, 1)


def end(run: RunDirectory, record: dict[str, Any], repeated: Sequence[EpochRecord], seconds: float) -> str:
    """Put on record when the search ended and what it spent; return why that cannot be written, or nothing."""
    curves = run.curves()
    _discard(record, repeated)
    spent = {
        "ended": provenance.now(),
        "wall_seconds": round(record.get("wall_seconds", 0.0) + seconds, 1),
        "epochs_spent": len(curves) + record["discarded_epochs"],
        "device_seconds": round(float(curves.seconds.sum()) + record["discarded_seconds"], 1),
    }
    try:
        run.write_json(PROVENANCE, record | spent)
    except OSError as error:  # such as a full disk; a resumed search writes it anew
        return f"{run.path / PROVENANCE} cannot be written: {error}"
    return ""
