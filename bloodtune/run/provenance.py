"""Provenance of a run: command, commit, versions, machine, data, and every start of the search."""

from __future__ import annotations

import dataclasses
import platform
import shlex
import subprocess
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from bloodtune import __version__
from bloodtune.data.dataset import Dataset
from bloodtune.run.directory import PROVENANCE, RunDirectory
from bloodtune.run.records import EpochRecord
from bloodtune.run.repair import RunRecords, mend

PACKAGES = ("ray", "torch", "optuna", "medmnist", "numpy", "pandas", "scikit-learn", "matplotlib")


def describe_data(dataset: Dataset) -> dict[str, Any]:
    """Return all fields of a data set except its images."""
    fields = (field.name for field in dataclasses.fields(dataset))
    return {name: getattr(dataset, name) for name in fields if name not in ("train", "val")}


def describe_software() -> dict[str, Any]:
    """Return the command, the versions in use and the commit of the checkout (None outside of one)."""
    versions = {"python": platform.python_version(), "bloodtune": __version__}
    return {
        "command": shlex.join(["python", "-m", "bloodtune.search", *sys.argv[1:]]),
        "versions": versions | {package: metadata.version(package) for package in PACKAGES},
        "git_commit": git_commit(),
    }


def describe_machine(resources: dict[str, float]) -> dict[str, Any]:
    """Return what the search computes on: the processor here and Ray's view of all hosts."""
    accelerators = [name.partition(":")[2] for name in resources if name.startswith("accelerator_type:")]
    return {
        "processor": _processor(),
        "cpus": resources.get("CPU", 0),
        "gpus": resources.get("GPU", 0),
        "accelerators": accelerators,
    }


def git_commit() -> str | None:
    """Return the commit of this checkout, with ``-dirty`` where files differ from it."""
    folder = Path(__file__).resolve().parents[1]
    if not (folder.parent / ".git").exists():
        return None
    command = ["git", "-C", str(folder), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def now() -> str:
    """Return the time in UTC to the second, as ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def begin(run: RunDirectory, start: dict[str, Any], say: Callable[..., None]) -> tuple[dict[str, Any], RunRecords]:
    """Repair the run's records and write this start into provenance.json; ``say`` prints what was repaired.

    Returns:
        The content of provenance.json, and the records that are whole.
    """
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
    return record, whole


def _discard(record: dict[str, Any], epochs: Sequence[EpochRecord]) -> None:
    record["discarded_epochs"] = record.get("discarded_epochs", 0) + len(epochs)
    seconds = sum(epoch.seconds for epoch in epochs)
    record["discarded_seconds"] = round(record.get("discarded_seconds", 0.0) + seconds, 1)


def end(run: RunDirectory, record: dict[str, Any], repeated: Sequence[EpochRecord], seconds: float) -> str:
    """Put on record when the search ended and what it spent; return the error if that fails, or an empty string."""
    curves = run.curves()
    _discard(record, repeated)
    spent = {
        "ended": now(),
        "wall_seconds": round(record.get("wall_seconds", 0.0) + seconds, 1),
        "epochs_spent": len(curves) + record["discarded_epochs"],
        "device_seconds": round(float(curves.seconds.sum()) + record["discarded_seconds"], 1),
    }
    try:
        run.write_json(PROVENANCE, record | spent)
    except OSError as error:  # such as a full disk; a resumed search writes it anew
        return f"{run.path / PROVENANCE} cannot be written: {error}"
    return ""
