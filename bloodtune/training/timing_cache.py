"""Cache of timings on this machine; a search reads it without torch, whose import takes seconds."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib.metadata
import json
import math
import os
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import platformdirs

from bloodtune import __version__
from bloodtune.files import parse_json, replace
from bloodtune.space.configuration import Configuration
from bloodtune.training.numerics import StepTimes

_FOLDER = "step_times"

# The lines of Linux's list of CPUs that tell one chip from another.
_CHIP_LINES = ("model name", "flags", "Features", "CPU implementer", "CPU part")


@dataclass(frozen=True)
class Timing:
    """Seconds by variant, and the name of the chip that took them."""

    chip: str
    seconds: Mapping[str, float]


def timing_file(kind: str, configuration: Configuration, *details: Any) -> Path:
    """Return the file for timings of a configuration on this machine, with this code and torch.

    ``kind`` begins the file's name. ``details``, in JSON's types, say what else the timings depend on.
    """
    what = [importlib.metadata.version("torch"), __version__, _code(), _cpu(), os.cpu_count()]
    digest = hashlib.sha256(json.dumps([*what, configuration.to_mapping(), *details]).encode()).hexdigest()
    return Path(platformdirs.user_cache_dir("bloodtune")) / _FOLDER / f"{kind}-{digest[:16]}.json"


def collect_steps(
    configurations: Sequence[Configuration],
    image_shape: Sequence[int],
    precisions: Sequence[str],
    *,
    gpu: str = "",
    measure: Callable[[Configuration, Sequence[str]], Timing] | None = None,
) -> tuple[str, StepTimes] | None:
    """Return the name of the chip and its step times, one configuration per family, from earlier timings.

    ``gpu`` is the name of the GPU; without it the CPU is meant. ``measure`` times a configuration in the precisions if
    this was not done before, and the result is kept. Without ``measure`` the answer is then None.
    """
    chip, times = "", {}
    for configuration in configurations:
        file = timing_file(configuration.family, configuration, list(image_shape), list(precisions), gpu)
        timing = read_timing(file)
        if timing is None or "float32" not in timing.seconds:
            if measure is None:
                return None
            timing = measure(configuration, precisions)
            write_timing(file, timing)
        chip, times[configuration.family] = timing.chip, timing.seconds
        precisions = [p for p in precisions if p in timing.seconds]  # a search uses one precision for all families
    return chip, times


def read_timing(file: Path) -> Timing | None:
    """Return the content of the file, or None if it is missing or damaged."""
    try:
        found = parse_json(file.read_bytes())
        timing = Timing(str(found["chip"]), dict(found["seconds"]))
    except (OSError, ValueError, TypeError, KeyError):
        return None
    is_whole = all(isinstance(seconds, (int, float)) and 0 < seconds < math.inf for seconds in timing.seconds.values())
    return timing if is_whole and timing.seconds else None


def write_timing(file: Path, timing: Timing) -> None:
    """Write the file; if the folder cannot be written, the next search takes the time again."""
    record = {"chip": timing.chip, "seconds": {name: round(value, 6) for name, value in timing.seconds.items()}}
    with contextlib.suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        replace(file, json.dumps(record).encode())


@functools.cache
def _code() -> str:
    # Changes with the code that is timed.
    folder = Path(__file__).parent
    files = [folder / "step_times.py", *sorted((folder / "models").glob("*.py"))]
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


@functools.cache
def _cpu() -> list[str]:
    # The chip, without torch.
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:  # not Linux
        lines = []
    return sorted({line for line in lines if line.startswith(_CHIP_LINES)}) or [
        platform.processor(),
        platform.machine(),
    ]
