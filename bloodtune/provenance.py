"""Where a result comes from: command, code, versions, machine and data."""

from __future__ import annotations

import dataclasses
import platform
import shlex
import subprocess
import sys
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from bloodtune import __version__
from bloodtune.data import Dataset

PACKAGES = ("ray", "torch", "optuna", "medmnist", "numpy", "pandas", "scikit-learn", "matplotlib")


def describe_data(dataset: Dataset) -> dict[str, Any]:
    """Return all that is known of a data set but its images."""
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
    folder = Path(__file__).resolve().parent
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
