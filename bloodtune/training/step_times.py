"""Times of training steps in each precision, taken once per machine, to choose a search's numerics.

A chip's flags do not say which precision is fast: some chips compute bfloat16 at half the speed of float32.
"""

from __future__ import annotations

import dataclasses
import math
import platform
import sys
import time
from collections.abc import Callable, Sequence

import torch

from bloodtune.space.configuration import Configuration
from bloodtune.training.device_splits import DeviceSplits
from bloodtune.training.numerics import AUTO, PLAIN, Numerics, StepTimes, timed_precisions
from bloodtune.training.timing_cache import Timing, collect_steps
from bloodtune.training.trainer import Training

# Images per timed step on a CPU. Small steps understate a fast precision, because calls and the update of the weights
# take a larger share: where 128 images were twice as fast in bfloat16, 16 were 1.3 and 64 1.5 to 2 times as fast.
CPU_IMAGES = 64

# Steps per timed round on a GPU, of full batches: three run as they are, then one is recorded and replayed.
GPU_STEPS = 8

# Timed rounds, in which the variants alternate; the fastest counts. A family gets the larger number if PyTorch's own
# layers were faster than ours in the first rounds, which is rarely more than noise.
ROUNDS, DOUBTFUL_ROUNDS = 2, 6

# On a CPU the time of the processor counts, because a step is one thread's work. The time on the wall counts other
# programs too: beside them it chose float32 in four of five measurements where bfloat16 is faster. Windows counts the
# processor's time in steps of 16 ms.
_CPU_CLOCK = time.perf_counter if sys.platform == "win32" else time.process_time

# A precision is dropped without timing if a step on few images takes this many times longer than in float32 (13 times
# on a chip without bfloat16). The fastest of a few steps counts: a single one can take twice its time.
DROP_FACTOR, DROP_IMAGES, DROP_STEPS = 3.0, 4, 4


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
    device, chip = splits.device.type, describe_chip(splits.device)
    found = collect_steps(
        configurations,
        splits.train_images.shape[1:],
        timed_precisions(device, asked),
        gpu=chip if device == "cuda" else "",
        measure=lambda one, precisions: Timing(chip, _time_variants(splits, one, precisions)),
    )
    assert found is not None, "what was not timed before is timed now"
    return found[1]


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
    clock = _CPU_CLOCK
    if splits.device.type == "cuda":
        clock = time.perf_counter
        images = GPU_STEPS * configuration.batch_size
    else:
        if len(variants) > 1:
            steps = {name: make_step(splits, configuration, one, DROP_IMAGES) for name, one in variants.items()}
            few = {name: _few_seconds(step, clock) for name, step in steps.items()}
            variants = {name: one for name, one in variants.items() if few[name] <= DROP_FACTOR * few["float32"]}
        variants[PLAIN] = Numerics(plain_layers=(configuration.family,))
        images = CPU_IMAGES
    steps = {name: make_step(splits, configuration, one, images) for name, one in variants.items()}
    best = dict.fromkeys(steps, math.inf)
    for done in range(1 + DOUBTFUL_ROUNDS):  # libraries initialize in the first one
        if done > ROUNDS and best["float32"] <= best.get(PLAIN, math.inf):
            break
        for name, step in steps.items():
            best[name] = min(best[name], _seconds(step, clock))
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


def _few_seconds(step: Callable[[], float], clock: Callable[[], float]) -> float:
    step()
    return min(_seconds(step, clock) for _ in range(DROP_STEPS))


def _seconds(step: Callable[[], float], clock: Callable[[], float]) -> float:
    started = clock()
    step()
    return clock() - started
