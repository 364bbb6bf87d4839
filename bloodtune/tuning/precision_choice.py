"""Precision and number of workers, chosen by timing training steps on the hosts that train."""

from __future__ import annotations

import dataclasses
import os
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from bloodtune.data.parallel_map import usable_cpus
from bloodtune.errors import InputError, describe
from bloodtune.space.configuration import Configuration
from bloodtune.space.families import is_own
from bloodtune.training.numerics import (
    AUTO,
    Numerics,
    StepTimes,
    check_precision,
    choose_numerics,
    describe_times,
    timed_precisions,
)
from bloodtune.training.timing_cache import Timing, collect_steps, read_timing, timing_file, write_timing
from bloodtune.tuning.gpu_sharing import GpuError
from bloodtune.tuning.host_timing import WaitingWorkers, measure_host
from bloodtune.tuning.object_store import put_split

if TYPE_CHECKING:
    from bloodtune.data.dataset import Dataset
    from bloodtune.data.npz import Split

# The images of each split that hosts receive: enough for a timed round on a GPU with batches of 512.
IMAGES = 4096

# The largest sizes that are timed. Of larger networks a step can take minutes, and the precisions keep their ratios.
LARGEST = {"hidden_layers": 2, "hidden_size": 2048, "width": 128, "depth": 2}

# Each thread gets a worker only if two threads of a core train this many times as much as one.
THREAD_GAIN = 1.05
THREAD_SECONDS = 0.25

_CPUS = Path("/sys/devices/system/cpu")


@dataclass(frozen=True)
class HostTiming:
    """The chosen numerics, and the reason in one line."""

    numerics: Numerics
    reason: str


class HostTimer:
    """Times training steps on every host that trains, while the driver does something else."""

    def __init__(
        self,
        dataset: Dataset,
        configurations: Sequence[Configuration],
        *,
        device: str,
        asked: str = AUTO,
        is_local: bool = False,
    ) -> None:
        """Start timing on the Ray that is connected; a host reads its earlier timings from its cache.

        Args:
            dataset: the steps train on its first images.
            configurations: the first of each family is timed.
            device: ``cpu`` or ``cuda``, where the trials will train.
            asked: the precision to use, or ``auto``.
            is_local: Ray runs on this machine alone. If its CPU was timed before, nothing is timed. Else workers that
                wait for their first trial time it; without them tasks do.

        Raises:
            InputError: a CPU has no such precision.
        """
        self._dataset, self._asked, self._device = dataset, asked, device
        self._hosts: list[tuple[str, float]] = []
        if device == "cpu" and asked != AUTO:
            check_precision(asked, device)
        if device == "cpu" and asked not in (AUTO, "float32"):
            return  # nothing to choose
        families = one_per_family(configurations)
        self._hosts = _training_hosts("GPU" if device == "cuda" else "CPU")
        # Two processes share the families, as two trials would share the machine.
        self._parts = [
            [families[::2], families[1::2]] if slots >= 2 and families[1:] else [families] for _, slots in self._hosts
        ]
        is_here = is_local and device == "cpu"
        self._known = _read(dataset, self._parts[0], asked) if is_here else None
        self._waiting = WaitingWorkers.of_this_ray() if is_here and self._known is None else None
        if self._waiting:
            self._waiting.ask(dataset.train, dataset.val, self._parts[0], asked)
        self._tasks = [] if self._known or self._waiting else self._start()

    def result(self) -> HostTiming:
        """Wait for the hosts, and choose.

        Raises:
            GpuError: a GPU cannot train.
            InputError: a GPU has no such precision, or a host cannot train.
        """
        if not self._hosts:
            return HostTiming(Numerics(self._asked), "as asked for")
        known = self._known or (self._waiting.answers() if self._waiting else None)
        found = [known] if known else self._wait(self._tasks or self._start())
        hosts = [(parts[0][0], {f: times[f] for _, times in parts for f in times}) for parts in found]
        numerics = choose_numerics([times for _, times in hosts], [weight for _, weight in self._hosts], self._asked)
        reason = "; ".join(dict.fromkeys(f"{chip}, {describe_times(times)}" for chip, times in hosts))
        if numerics.plain_layers:
            reason += f"; PyTorch's own layers for {', '.join(numerics.plain_layers)}"
        return HostTiming(numerics, reason if self._asked == AUTO else f"as asked for; {reason}")

    def _start(self) -> list[list[Any]]:
        small = put_split(self._dataset.train, IMAGES), put_split(self._dataset.val, IMAGES)
        resources: dict[str, Any] = {"num_gpus": 1} if self._device == "cuda" else {"num_cpus": 1}
        tasks = []
        for (host, _), shares in zip(self._hosts, self._parts, strict=True):
            place = NodeAffinitySchedulingStrategy(host, soft=True) if host else "DEFAULT"
            measure = ray.remote(**resources, scheduling_strategy=place)(measure_host)
            tasks.append([measure.remote(*small, share, self._device, self._asked) for share in shares])
        return tasks

    def _wait(self, tasks: Sequence[list[Any]]) -> list[list[tuple[str, StepTimes]]]:
        try:
            return [ray.get(part) for part in tasks]
        except ray.exceptions.RayError as error:
            cause = getattr(error, "cause", None) or error
            if isinstance(cause, InputError):
                raise cause from None
            if self._device == "cuda":
                raise GpuError(f"the GPU cannot be used: {describe(cause)}") from None
            raise InputError(f"no training step can be timed: {describe(cause)}") from None


def _read(dataset: Dataset, parts: Sequence[Sequence[Configuration]], asked: str) -> list[tuple[str, StepTimes]] | None:
    # None if this machine has not timed all of them.
    shape, precisions = dataset.train.images.shape[1:], timed_precisions("cpu", asked)
    found = [collect_steps(part, shape, precisions) for part in parts]
    known = [timing for timing in found if timing is not None]
    return known if len(known) == len(found) else None


def one_per_family(configurations: Iterable[Configuration]) -> list[Configuration]:
    """Return the first configuration of each family; MLNNs last: they rule out a slow precision least quickly.

    Sizes above ``LARGEST`` are cut to it, except those of a user's own family.
    """
    first: dict[str, Configuration] = {}
    for configuration in configurations:
        first.setdefault(configuration.family, configuration)
    return sorted(map(_cut, first.values()), key=lambda one: one.family == "mlnn")


def _cut(configuration: Configuration) -> Configuration:
    if is_own(configuration.family):
        return configuration
    sizes = {name: getattr(configuration, name) for name in LARGEST}
    cut: dict[str, Any] = {name: LARGEST[name] for name, size in sizes.items() if size and size > LARGEST[name]}
    return dataclasses.replace(configuration, **cut)


def choose_threads(
    dataset: Dataset, configurations: Sequence[Configuration], numerics: Numerics, *, fitting: int
) -> tuple[int, str]:
    """Return the number of workers for this CPU, and why: one per core, or per thread if a core's second one gains.

    The connected Ray runs on this machine and has ``fitting`` CPUs. If there are as many cores, or the system does not
    report them, nothing is measured and the reason is an empty string.
    """
    siblings = shared_cores(_CPUS)
    cores = len(usable_cpus()) - sum(len(group) - 1 for group in siblings)
    if not siblings or cores >= fitting:
        return fitting, ""
    configuration = configurations[0]
    file = timing_file("threads", configuration, numerics.to_mapping(), siblings[0][:2])
    timing = read_timing(file)
    if timing is None:
        timing = Timing("", _time_threads(dataset, configuration, numerics, siblings[0][:2]))
        write_timing(file, timing)
    return decide_threads(fitting, cores, timing.seconds["alone"] / timing.seconds["both"])


def _time_threads(
    dataset: Dataset, configuration: Configuration, numerics: Numerics, cpus: Sequence[int]
) -> dict[str, float]:
    # Seconds per step of one thread of a core alone, and of both together.
    train = ray.remote(num_cpus=1)(_train_pinned)
    small = put_split(dataset.train, IMAGES), put_split(dataset.val, IMAGES)
    ray.get([train.remote(*small, configuration, numerics, cpu, 0.0) for cpu in cpus])  # starts both
    alone = ray.get(train.remote(*small, configuration, numerics, cpus[0], THREAD_SECONDS))
    both = sum(ray.get([train.remote(*small, configuration, numerics, cpu, THREAD_SECONDS) for cpu in cpus]))
    return {"alone": 1 / alone, "both": 1 / both}


def decide_threads(threads: int, cores: int, gain: float) -> tuple[int, str]:
    """Return the number of workers and the reason, if two threads of a core train ``gain`` times as much as one."""
    share = f"two threads of a core train {gain:.2f} times as much as one"
    return (threads, f"one per thread: {share}") if gain >= THREAD_GAIN else (cores, f"one per core: {share}")


def shared_cores(cpus: Path) -> list[list[int]]:
    """Return, for each core on which this process may use several CPUs, those CPUs.

    ``cpus`` is Linux's folder of CPUs. On other systems the list is empty.
    """
    groups: dict[str, list[int]] = {}
    for cpu in sorted(usable_cpus()):
        file = cpus / f"cpu{cpu}" / "topology" / "thread_siblings_list"
        try:
            text = file.read_text()
        except OSError:
            return []
        groups[text] = [*groups.get(text, []), cpu]
    return [group for group in groups.values() if len(group) > 1]


def _training_hosts(resource: str) -> list[tuple[str, float]]:
    # Ray's id and the number of simultaneous trainings per host; if there is no host yet, an entry that waits for one.
    nodes = [node for node in ray.nodes() if node["Alive"] and node["Resources"].get(resource, 0) >= 1]
    return [(node["NodeID"], node["Resources"][resource]) for node in nodes] or [("", 1.0)]


def _train_pinned(
    train: Split, val: Split, configuration: Configuration, numerics: Numerics, cpu: int, seconds: float
) -> float:
    from bloodtune.training.device_splits import DeviceSplits
    from bloodtune.training.process_setup import prepare_process
    from bloodtune.training.step_times import make_step

    if sys.platform != "linux":
        raise NotImplementedError("other systems report no threads of a core")
    prepare_process("cpu")
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {cpu})
    try:
        step = make_step(DeviceSplits.load(train, val), configuration, numerics, images=16)
        step()
        started, steps = time.perf_counter(), 0
        while time.perf_counter() - started < seconds:
            step()
            steps += 1
        return steps / (time.perf_counter() - started)
    finally:
        os.sched_setaffinity(0, before)
