"""Number of trials per GPU, measured by training 1, 2, 4 ... of them side by side."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import ray
from ray.util.placement_group import placement_group, remove_placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from bloodtune.errors import InputError, describe
from bloodtune.space.configuration import Configuration
from bloodtune.space.parameter import combinations
from bloodtune.space.recipe import Recipe
from bloodtune.training.numerics import FLOAT32, Numerics
from bloodtune.tuning.object_store import put_split

if TYPE_CHECKING:
    from bloodtune.data.dataset import Dataset
    from bloodtune.data.npz import Split
    from bloodtune.training.device_splits import DeviceSplits

SECONDS = 1.0  # per measurement
MOST = 16  # trials per GPU

# Twice as many trials must train this many times the images per second, and leave this share of the memory free.
GAIN = 1.05
FREE = 0.1

# Images of an epoch of the measurement; the last batch is smaller than the others, as in real data.
_IMAGES = 8192 + 55


class GpuError(InputError):
    """A GPU on which not even one training can run; the message gives the reason."""


@dataclass(frozen=True)
class Calibration:
    """Images per second of all trials together, by the number that shared the GPU, and the number chosen."""

    rates: dict[int, float]
    trials: int

    def __str__(self) -> str:
        """Return the measurement in one line."""
        counts, rates = ", ".join(map(str, self.rates)), ", ".join(f"{rate:,.0f}" for rate in self.rates.values())
        return f"{counts} trainings side by side on a GPU: {rates} images/s; {self.trials} per GPU"


def calibrate(
    dataset: Dataset,
    candidates: Sequence[Configuration],
    *,
    most: int,
    device: str = "cuda",
    numerics: Numerics = FLOAT32,
) -> Calibration:
    """Train 1, 2, 4 ... up to ``most`` configurations at a time on a device, while that is faster and fits its memory.

    Each process trains the candidate that needs most memory. Ray must be connected.

    Raises:
        GpuError: not even one process can train.
    """
    rates: dict[int, float] = {}
    for count, rate in measure(dataset, candidates, most=min(most, MOST), device=device, numerics=numerics):
        rates[count] = rate
        if choose(rates) < count:
            break
    return Calibration(rates, choose(rates))


def choose(rates: dict[int, float]) -> int:
    """Return the number of trials up to which each doubling gained enough; 1 if nothing could be measured."""
    chosen = 1
    for count, rate in rates.items():
        if count > chosen and rate < GAIN * rates[chosen]:
            break
        chosen = count
    return chosen


def measure(
    dataset: Dataset,
    candidates: Sequence[Configuration],
    *,
    most: int,
    device: str = "cuda",
    numerics: Numerics = FLOAT32,
) -> Iterator[tuple[int, float]]:
    """Yield, for 1, 2, 4 ... up to ``most`` trainings side by side, their number and total images per second.

    Stops at the first number that fails or needs too much memory. Each process trains the candidate that needs most.

    Raises:
        GpuError: one process alone fails.
    """
    unit = "GPU" if device == "cuda" else "CPU"
    group = placement_group([{unit: 1}])  # of one host and one GPU; in tests, of one CPU core
    ray.get(group.ready())
    share: dict[str, Any] = {"num_cpus": 0, "num_gpus": 1 / most} if unit == "GPU" else {"num_cpus": 1 / most}
    probe = ray.remote(**share, scheduling_strategy=PlacementGroupSchedulingStrategy(group))(_Probe)
    try:
        splits = put_split(dataset.train), put_split(dataset.val)
        # Started all at once: most of a start is the import of torch, which runs on another core.
        probes = [probe.remote(device, *splits, numerics) for _ in range(most)]
        ready, count = 0, 1
        while count <= most:
            try:
                ray.get([one.prepare.remote(list(candidates)) for one in probes[ready:count]])
                if ray.get(probes[0].free_share.remote()) < FREE:
                    return
                rate = sum(ray.get([one.run.remote(SECONDS) for one in probes[:count]]))
            except ray.exceptions.RayError as error:
                if count > 1:
                    return
                cause = getattr(error, "cause", None) or error
                raise GpuError(f"the {unit} cannot be used: {describe(cause)}") from None
            yield count, rate
            ready, count = count, 2 * count
    finally:
        remove_placement_group(group)  # ends the processes in it


def heaviest(recipe: Recipe) -> list[Configuration]:
    """Return a recipe's enqueued configurations and the largest one of each sampled family."""
    found = [entry.configuration for entry in recipe.enqueued]
    if recipe.sampler != "enqueued":
        sampled = {values["family"]: values for values in combinations(recipe.parameters)}
        found += [Configuration.from_mapping(values) for values in sampled.values()]
    return found


def activations(configuration: Configuration, splits: DeviceSplits) -> int:
    """Return how many numbers the layers of a configuration's network output for one image."""
    import torch

    from bloodtune.training.starting_network import build_starting_network

    network = build_starting_network(configuration, splits)
    total = 0

    def count(module: Any, inputs: Any, output: torch.Tensor) -> None:
        nonlocal total
        total += output.numel()

    for module in network.modules():
        if not list(module.children()):
            module.register_forward_hook(count)
    network.eval()
    with torch.no_grad():
        network(splits.train_images[:1].permute(0, 3, 1, 2))
    return total


class _Probe:
    """A Ray actor that trains for a second as a worker of the search would."""

    def __init__(self, device: str, train: Split, val: Split, numerics: Numerics = FLOAT32) -> None:
        import torch  # noqa: F401, the longest part of an actor's start

        self._device, self._train, self._val, self._numerics = device, train, val, numerics

    def prepare(self, candidates: Sequence[Configuration]) -> None:
        """Put the data on the device, and train the candidate with the largest activations for an epoch."""
        from bloodtune.training.device_splits import DeviceSplits
        from bloodtune.training.process_setup import prepare_process
        from bloodtune.training.trainer import Training

        prepare_process(self._device)
        whole = DeviceSplits.load(self._train, self._val, self._device)
        splits = dataclasses.replace(
            whole,
            train_images=whole.train_images[:_IMAGES],
            train_labels=whole.train_labels[:_IMAGES],
            val_images=whole.val_images[: _IMAGES // 8],
            val_labels=whole.val_labels[: _IMAGES // 8],
        )
        chosen = max(candidates, key=lambda one: one.batch_size * activations(one, splits))
        # At a rate at which no configuration diverges.
        chosen = dataclasses.replace(chosen, learning_rate=1e-4)
        self._training = Training(chosen, splits, max_epochs=10**6, seed=0, numerics=self._numerics)
        self._training.run_epoch()
        self._resident = whole  # a search keeps all images on the device

    def run(self, seconds: float) -> float:
        """Train for about ``seconds``; return images per second."""
        started, epochs = time.perf_counter(), 0
        while time.perf_counter() - started < seconds:
            self._training.run_epoch()
            epochs += 1
        return epochs * min(len(self._train.labels), _IMAGES) / (time.perf_counter() - started)

    def free_share(self) -> float:
        """Return the free share of the device's memory."""
        import torch

        if self._device == "cpu":
            return 1.0
        free, total = torch.cuda.mem_get_info()
        return free / total
