"""Provenance of a run: command, commit, versions, machine, data, and every start of the search."""

from __future__ import annotations

import dataclasses
import math
import platform
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from bloodtune import __version__
from bloodtune.data.dataset import Dataset
from bloodtune.data.preparation import Preparation
from bloodtune.errors import InputError, one_line
from bloodtune.run.directory import PROVENANCE, RunDirectory
from bloodtune.run.records import EpochRecord
from bloodtune.run.repair import RunRecords

# The kinds of the entries that are read back, in the record itself and in its entry ``data``.
_NUMBER = (int, float)
_KINDS: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(("seed", "budget", "max_epochs", "workers", "discarded_epochs"), (int,)),
    **dict.fromkeys(("gpus_per_trial", "discarded_seconds", "wall_seconds"), _NUMBER),
    **{"started": (str,), "precision": (str,), "plain_layers": (list,), "resumed": (list,), "data": (dict,)},
}
_DATA_KINDS: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(("source", "md5", "title"), (str,)),
    **{"synthetic": (bool,), "folds": (str, type(None)), "preparation": (dict,)},
}
_MOST = 2**53  # of a number but the seed: beyond it no float is exact

PACKAGES = ("ray", "torch", "optuna", "medmnist", "numpy", "pandas", "scikit-learn", "matplotlib")


def read_provenance(run: RunDirectory, needed: Sequence[str] = ()) -> dict[str, Any]:
    """Read ``provenance.json`` with its entries ``needed``; return an empty dict if the file does not exist.

    Raises:
        InputError: the file is damaged, or an entry that is read back is missing or of another kind.
    """
    record, file = run.read_json(PROVENANCE), run.path / PROVENANCE
    if not record:
        return {}
    _check(record, _KINDS, [name for name in needed if "." not in name], f"{file}: ")
    if "data" in record:
        of_data = [name.removeprefix("data.") for name in needed if "." in name]
        _check(record["data"], _DATA_KINDS, of_data, f"{file}: data.")
        try:
            Preparation.recorded(record["data"], run.path)
        except (TypeError, ValueError) as error:
            raise InputError(f"{file} is damaged: data.preparation: {one_line(error)}") from None
    return record


def _check(record: dict[str, Any], kinds: Mapping[str, tuple[type, ...]], needed: Sequence[str], where: str) -> None:
    for name in needed:
        if name not in record:
            raise InputError(f"{where}{name} is missing, so the file is damaged")
    for name in kinds.keys() & record.keys():
        value = record[name]
        fits = isinstance(value, kinds[name]) and (bool in kinds[name] or not isinstance(value, bool))
        most = math.inf if name == "seed" else _MOST
        if not fits or (isinstance(value, _NUMBER) and not 0 <= value <= most):  # which NaN is not
            expected = " or ".join(kind.__name__ for kind in kinds[name])
            raise InputError(f"{where}{name} = {repr(value)[:40]}, so the file is damaged; expected {expected}")


def describe_data(dataset: Dataset) -> dict[str, Any]:
    """Return all fields of a data set except those with one entry per image; of the folds a digest."""
    fields = (field.name for field in dataclasses.fields(dataset))
    described = {name: getattr(dataset, name) for name in fields if name not in ("train", "val", "rows", "groups")}
    return described | {
        "folds": dataset.fold_digest,
        "audit": dataclasses.asdict(dataset.audit),
        "preparation": dataset.preparation.to_mapping(),
        "notes": list(dataset.notes),
    }


def describe_data_for_card(dataset: Dataset) -> dict[str, Any]:
    """Return ``describe_data`` without the file's place, for the card of a model that leaves this machine."""
    return {name: value for name, value in describe_data(dataset).items() if name not in ("source", "fell_back")}


def describe_software() -> dict[str, Any]:
    """Return the command, the package versions and the commit of the checkout (None outside a checkout)."""
    versions = {"python": platform.python_version(), "bloodtune": __version__}
    return {
        "command": shlex.join(["python", "-m", "bloodtune.search", *sys.argv[1:]]),
        "versions": versions | {package: metadata.version(package) for package in PACKAGES},
        "git_commit": git_commit(),
    }


def describe_machine(resources: dict[str, float]) -> dict[str, Any]:
    """Return the processor of this host, and the CPUs and GPUs of all hosts as Ray counts them."""
    accelerators = [name.partition(":")[2] for name in resources if name.startswith("accelerator_type:")]
    return {
        "processor": _processor(),
        "cpus": resources.get("CPU", 0),
        "gpus": resources.get("GPU", 0),
        "accelerators": accelerators,
    }


def git_commit() -> str | None:
    """Return the commit of this checkout, with ``-dirty`` if files differ from it; None outside a checkout."""
    folder = Path(__file__).resolve().parents[1]
    if not (folder.parent / ".git").exists():
        return None
    command = ["git", "-C", str(folder), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def now() -> str:
    """Return the current time (UTC, to the second) in ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def begin(run: RunDirectory, start: dict[str, Any], records: RunRecords) -> dict[str, Any]:
    """Add this start to provenance.json and return its content; ``records`` are those of earlier starts."""
    record = read_provenance(run)
    _discard(record, records.discarded)  # they count as spent, although they are trained again
    if record.get("started") != start["started"]:
        changed = {key: start[key] for key in ("command", "versions", "git_commit", "workers", "devices", "started")}
        record["resumed"] = [*record.get("resumed", []), changed]
        record["budget"] = start["budget"]
        record = {key: start[key] for key in ("precision", "plain_layers")} | record  # older runs lack these
        record["data"] = start["data"]  # the MD5 is the same, but the file may have moved
    run.write_json(PROVENANCE, record | {"ended": None})
    return record


def _discard(record: dict[str, Any], epochs: Sequence[EpochRecord]) -> None:
    record["discarded_epochs"] = record.get("discarded_epochs", 0) + len(epochs)
    seconds = sum(epoch.seconds for epoch in epochs)
    record["discarded_seconds"] = round(record.get("discarded_seconds", 0.0) + seconds, 1)


def end(run: RunDirectory, record: dict[str, Any], repeated: Sequence[EpochRecord], seconds: float) -> str:
    """Write the end and the cost of the search to provenance.json; return the error, or an empty string."""
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
    except OSError as error:  # such as a full disk; a resumed search writes the file again
        return f"{run.path / PROVENANCE} cannot be written: {error}"
    return ""
