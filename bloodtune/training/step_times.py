"""Times of training steps in each precision, taken once per machine, to choose a search's numerics.

A chip's flags do not say which precision is fast: some chips compute bfloat16 at half the speed of float32.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import math
import os
import platform
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import platformdirs
import torch

from bloodtune import __version__
from bloodtune.files import replace
from bloodtune.space.configuration import Configuration
from bloodtune.training.device_splits import DeviceSplits
from bloodtune.training.numerics import AUTO, PLAIN, Numerics, StepTimes, supported_precisions
from bloodtune.training.trainer import Training

# Images per timed step on a CPU. 16 give the ratios of 128 within a few per cent. An MLNN needs more: the update of its
# many weights takes a large share of a small step.
CPU_IMAGES, CPU_IMAGES_MLNN = 16, 64

# Steps per timed round on a GPU, of full batches: three run as they are, then one is recorded and replayed.
GPU_STEPS = 8

# Timed rounds, in which the variants alternate; the fastest counts. A family gets the larger number if PyTorch's own
# layers were faster than ours in the first rounds, which is rarely more than noise.
ROUNDS, DOUBTFUL_ROUNDS = 2, 6

# A precision is dropped without timing if a step on few images takes this many times longer than in float32 (13 times
# on a chip without bfloat16). The fastest of a few steps counts: a single one can take twice its time.
DROP_FACTOR, DROP_IMAGES, DROP_STEPS = 3.0, 4, 4

_CACHE_FOLDER = "step_times"


def measure_steps(splits: DeviceSplits, configurations: Sequence[Configuration], asked: str = AUTO) -> StepTimes:
    """Time training steps of each configuration, one per family, in every precision of the device.

    Steps that this machine has timed before come from the cache.

    Args:
        splits: on the device that trains; the first images of the training split are used.
        configurations: one per family.
        asked: a precision to time beside float32, or ``auto`` for all.

    Returns:
        The seconds by family and variant. A precision that is far slower than float32 is missing.
    """
    device = splits.device.type
    precisions = [p for p in supported_precisions(device) if asked in (AUTO, p) or p == "float32"]
    times: dict[str, dict[str, float]] = {}
    for configuration in configurations:
        file = _cache_file(splits, configuration, precisions)
        found = _read(file)
        if found is None:
            found = _time_variants(splits, configuration, precisions)
            _write(file, found)
        times[configuration.family] = found
        precisions = [p for p in precisions if p in found]  # a search uses one precision for all families
    return times


def describe_chip(device: torch.device | str = "cpu") -> str:
    """Return the name of the chip of ``device``, with the instruction sets that decide its speed."""
    if torch.device(device).type == "cuda":
        return torch.cuda.get_device_name()
    known = torch.cpu.get_capabilities()
    wanted = ("amx_bf16", "avx512_bf16", "avx512_f", "avx2", "sve", "bf16")
    flags = [name for name in wanted if known.get(name)]
    name = str(known.get("cpu_name") or platform.processor() or platform.machine())
    return f"{name} ({', '.join(flags) or 'no vector flags known'})"


def _time_variants(splits: DeviceSplits, configuration: Configuration, precisions: Sequence[str]) -> dict[str, float]:
    variants = {name: Numerics(name) for name in precisions}
    if splits.device.type == "cuda":
        images = GPU_STEPS * configuration.batch_size
    else:
        if len(variants) > 1:
            few = {n: _few_seconds(make_step(splits, configuration, one, DROP_IMAGES)) for n, one in variants.items()}
            variants = {name: one for name, one in variants.items() if few[name] <= DROP_FACTOR * few["float32"]}
        variants[PLAIN] = Numerics(plain_layers=(configuration.family,))
        images = CPU_IMAGES_MLNN if configuration.family == "mlnn" else CPU_IMAGES
    steps = {name: make_step(splits, configuration, one, images) for name, one in variants.items()}
    best = dict.fromkeys(steps, math.inf)
    for done in range(1 + DOUBTFUL_ROUNDS):  # libraries initialize in the first one
        if done > ROUNDS and best["float32"] <= best.get(PLAIN, math.inf):
            break
        for name, step in steps.items():
            best[name] = min(best[name], _seconds(step))
    return best


def make_step(
    splits: DeviceSplits, configuration: Configuration, numerics: Numerics, images: int
) -> Callable[[], float]:
    """Return a function that trains for an epoch of the first ``images``, at a learning rate too low to diverge."""
    part = dataclasses.replace(
        splits, train_images=splits.train_images[:images], train_labels=splits.train_labels[:images]
    )
    slow = dataclasses.replace(configuration, learning_rate=1e-6)
    return Training(slow, part, max_epochs=10**6, seed=0, numerics=numerics).train_epoch


def _few_seconds(step: Callable[[], float]) -> float:
    step()
    return min(_seconds(step) for _ in range(DROP_STEPS))


def _seconds(step: Callable[[], float]) -> float:
    started = time.perf_counter()
    step()
    return time.perf_counter() - started


def _cache_file(splits: DeviceSplits, configuration: Configuration, precisions: Sequence[str]) -> Path:
    # One file per machine and configuration, so that processes that measure side by side do not share any.
    files = [Path(__file__), *sorted((Path(__file__).parent / "models").glob("*.py"))]
    code = hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()
    what: list[Any] = [torch.__version__, __version__, describe_chip(splits.device), os.cpu_count()]
    what += [code, configuration.to_mapping(), list(splits.train_images.shape[1:])]
    digest = hashlib.sha256(json.dumps([*what, list(precisions), torch.get_num_threads()]).encode()).hexdigest()
    name = f"{configuration.family}-{digest[:16]}.json"
    return Path(platformdirs.user_cache_dir("bloodtune")) / _CACHE_FOLDER / name


def _read(file: Path) -> dict[str, float] | None:
    # None if there is no usable file; the steps are timed again.
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if not isinstance(found, dict) or "float32" not in found:
        return None
    is_whole = all(isinstance(seconds, (int, float)) and 0 < seconds < math.inf for seconds in found.values())
    return found if is_whole else None


def _write(file: Path, seconds: dict[str, float]) -> None:
    # If the folder cannot be written, the next search times the steps again.
    with contextlib.suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        replace(file, json.dumps({name: round(value, 6) for name, value in seconds.items()}).encode())
