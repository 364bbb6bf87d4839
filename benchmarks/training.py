"""Training steps on one CPU thread: our layers against PyTorch, and the gain of each choice.

python benchmarks/training.py --data FILE
"""

from __future__ import annotations

import dataclasses
import itertools
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import mean, stdev
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from bloodtune.command_line import positive
from bloodtune.data.dataset import load_dataset
from bloodtune.space.configuration import Configuration
from bloodtune.space.recipe_file import BOOK, load_enqueued
from bloodtune.training.augmentation import draw_batch
from bloodtune.training.device_splits import DeviceSplits
from bloodtune.training.losses import build_loss
from bloodtune.training.models import cpu_layers
from bloodtune.training.numerics import PLAIN as PLAIN_LAYERS
from bloodtune.training.numerics import Numerics, StepTimes, choose_numerics, describe_times
from bloodtune.training.optimizers import WeightAverage, build_optimizer
from bloodtune.training.process_setup import prepare_process
from bloodtune.training.starting_network import build_starting_network
from bloodtune.training.step_times import describe_chip, measure_steps
from bloodtune.training.trainer import Training
from common import make_parser, print_figures

RESIDUAL = {
    **{"family": "residual", "width": 32, "loss": "label_smoothing", "label_smoothing": 0.1, "batch_size": 128},
    **{"optimizer": "sgd", "learning_rate": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.0005},
    **{"schedule": "one_cycle", "dihedral": True, "shift": 2, "ema": 0.1},
}
PUBLISHED = {"mlnn": "MLNN config 1", "cnn": "CNN config 1", "lightweight": "lightweight CNN"}


@dataclass(frozen=True)
class Choices:
    """The choices that make a training step fast or add work to it; the product does not use ``compiled``."""

    precision: str = "float32"
    channels_last: bool = True
    pool_before_relu: bool = True
    own_pooling: bool = True
    own_layers: bool = True
    uint8_images: bool = True
    batched_augmentation: bool = True
    fused_optimizer: bool = True
    ema: bool = True
    compiled: bool = False


PLAIN = Choices(
    channels_last=False,
    pool_before_relu=False,
    own_pooling=False,
    own_layers=False,
    uint8_images=False,
    fused_optimizer=False,
)


def configurations() -> dict[str, Configuration]:
    """Return one configuration per family: the published ones, and a typical one of the residual network."""
    published = {entry.label: entry.configuration for entry in load_enqueued(BOOK / "papers.toml")}
    found = {family: published[label] for family, label in PUBLISHED.items()}
    return found | {"residual": Configuration.from_mapping(RESIDUAL)}


def make_network(configuration: Configuration, splits: DeviceSplits) -> nn.Sequential:
    """Build the network of a configuration on the device of the splits."""
    torch.manual_seed(0)
    return build_starting_network(configuration, splits)


def make_step(configuration: Configuration, splits: DeviceSplits, choices: Choices) -> Callable[[], None]:
    """Return a function that takes one training step on a batch drawn at random."""
    generator = torch.Generator().manual_seed(0)
    order = torch.channels_last if choices.channels_last else torch.contiguous_format
    numerics = Numerics(choices.precision)
    network = make_network(configuration, splits)
    _use_plain_layers(network, configuration.family, choices)
    network.to(memory_format=order)  # type: ignore[call-overload]
    average = WeightAverage(network, configuration.ema) if configuration.ema and choices.ema else None
    optimizer = build_optimizer(configuration, network)
    for group in optimizer.param_groups:
        group["fused"] = choices.fused_optimizer
    loss_function = build_loss(configuration, splits.class_counts)
    images = splits.train_images if choices.uint8_images else splits.train_images.float()
    forward = torch.compile(network) if choices.compiled else network
    network.train()
    count = itertools.count(1)

    def step() -> None:
        rows = torch.randint(len(images), (configuration.batch_size,), generator=generator)
        parts = [rows] if choices.batched_augmentation else torch.split(rows, 1)
        batch = torch.cat([draw_batch(images, part, configuration, generator) for part in parts])
        with numerics.autocast(splits.device):
            logits = forward(batch.contiguous(memory_format=order))
        loss = loss_function(logits.float(), splits.train_labels[rows])
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        if average:
            average.update(average.share(next(count)))

    return step


def best_seconds(steps: Mapping[str, Callable[[], object]], rounds: int, repeats: int = 3) -> dict[str, float]:
    """Return the seconds per step of each kind: the fastest of ``rounds`` in which all kinds take turns."""
    best = dict.fromkeys(steps, float("inf"))
    for step in steps.values():
        step()
    for _ in range(rounds):
        for name, step in steps.items():
            started = time.perf_counter()
            for _ in range(repeats):
                step()
            best[name] = min(best[name], (time.perf_counter() - started) / repeats)
    return best


def measure_numerics(splits: DeviceSplits) -> tuple[Numerics, StepTimes]:
    """Return the numerics that a search would choose on this machine, and the step times behind the choice."""
    times = measure_steps(splits, list(configurations().values()))
    return choose_numerics([times], [1]), times


def compare_families(splits: DeviceSplits, numerics: Numerics, rounds: int) -> list[dict[str, Any]]:
    """Return images/s of each family in plain PyTorch and here, and our share of the peak in our precision."""
    square = torch.randn(2, 2048, 2048, dtype=numerics.dtype).unbind()
    peak = 2 * 2048**3 / best_seconds({"product": lambda: torch.mm(*square)}, rounds, repeats=1)["product"]
    rows = []
    for family, configuration in configurations().items():
        chosen = PLAIN if numerics.is_plain(family) else Choices(numerics.precision)
        steps = {"plain": make_step(configuration, splits, PLAIN), "ours": make_step(configuration, splits, chosen)}
        with FlopCounterMode(display=False) as counter:
            steps["plain"]()  # ours also multiplies the zeros between images that lie side by side
        took = best_seconds(steps, rounds)
        rate = {name: configuration.batch_size / seconds for name, seconds in took.items()}
        share = counter.get_total_flops() / took["ours"] / peak
        rows.append({"family": family, **rate, "ratio": took["plain"] / took["ours"], "peak_share": share})
    return rows


def switch_off(
    family: str, splits: DeviceSplits, numerics: Numerics, others: Sequence[str], rounds: int, *, compiled: bool
) -> list[dict[str, Any]]:
    """Return the milliseconds of a step with each choice switched off alone, and with ``compiled`` switched on.

    The step is that of the family's configuration with augmentation and EMA on. ``others`` are further precisions.
    """
    configuration = dataclasses.replace(configurations()[family], dihedral=True, shift=2, ema=0.1)
    ours = Choices(numerics.precision)
    variants = {"as it is": ours}
    variants |= {f"in {other}": dataclasses.replace(ours, precision=other) for other in others}
    names = [field.name for field in dataclasses.fields(Choices) if field.name not in ("compiled", "precision")]
    for name in names:
        off: dict[str, Any] = {name: False}
        variants[f"without {name.replace('_', ' ')}"] = dataclasses.replace(ours, **off)
    if compiled:
        variants["compiled"] = dataclasses.replace(ours, compiled=True)
    took = best_seconds({name: make_step(configuration, splits, choices) for name, choices in variants.items()}, rounds)
    whole = took["as it is"]
    return [
        {"family": family, "variant": name, "milliseconds": 1000 * seconds, "change": seconds / whole - 1}
        for name, seconds in took.items()
    ]


def seed_scores(splits: DeviceSplits, precisions: Sequence[str], seeds: int, epochs: int) -> list[dict[str, Any]]:
    """Return the validation macro-F1 of the papers' CNN for each seed, in each precision."""
    rows = []
    for precision in precisions:
        scores = []
        for seed in range(seeds):
            run = Training(configurations()["cnn"], splits, max_epochs=epochs, seed=seed, numerics=Numerics(precision))
            scores.append([run.run_epoch() for _ in range(epochs)][-1].val_macro_f1)
        rows.append({"precision": precision, "scores": scores})
    return rows


def main(argv: Sequence[str] | None = None) -> int:
    """Print tables and, as the last line, their figures as JSON."""
    parser = make_parser(__doc__ or "", quick="two rounds, two seeds of one epoch, nothing compiled")
    parser.add_argument("--rounds", type=positive, default=15, help="timed rounds; the fastest counts")
    parser.add_argument("--seeds", type=positive, default=5, help="seeds to compare precisions")
    parser.add_argument("--epochs", type=positive, default=5, help="epochs per seed")
    arguments = parser.parse_args(argv)
    rounds, seeds, epochs = (2, 2, 1) if arguments.quick else (arguments.rounds, arguments.seeds, arguments.epochs)
    prepare_process("cpu")
    dataset = load_dataset(arguments.data)
    splits = DeviceSplits.load(dataset.train, dataset.val)
    print(f"one thread, {dataset.title}; images/s of a training step")
    numerics, times = measure_numerics(splits)
    print(f"{describe_chip()}: {numerics.precision} ({describe_times(times)})")
    print("plain: float32, NCHW, PyTorch's own layers; the same batches, memory and denormal settings as ours")
    families = compare_families(splits, numerics, rounds)
    print(f"{'family':12}{'plain':>8}{'ours':>8}{'ratio':>7}{'of the peak':>13}")
    for row in families:
        print(f"{row['family']:12}{row['plain']:8,.0f}{row['ours']:8,.0f}{row['ratio']:7.2f}{row['peak_share']:12.0%}")
    contributions = []
    for family in ("cnn", "residual"):
        others = [name for name in times[family] if name not in (PLAIN_LAYERS, numerics.precision)]
        contributions += switch_off(family, splits, numerics, others, rounds, compiled=not arguments.quick)
    print(f"\n{'family':12}{'variant':32}{'ms/step':>10}{'change':>8}")
    for row in contributions:
        print(f"{row['family']:12}{row['variant']:32}{row['milliseconds']:10.1f}{row['change']:+8.0%}")
    # Precisions that are too slow on this chip have no step times and are skipped.
    precisions = seed_scores(splits, [name for name in times["cnn"] if name != PLAIN_LAYERS], seeds, epochs)
    print(f"\nvalidation macro-F1 of the papers' CNN after {epochs} epochs, {seeds} seeds")
    for row in precisions:
        scores = row["scores"]
        spread = f", sd {stdev(scores):.4f}" if len(scores) > 1 else ""
        print(f"{row['precision']:12}mean {mean(scores):.4f}{spread}")
    about = {"chip": describe_chip(), **numerics.to_mapping(), "step_times": times}
    figures = {**about, "families": families, "contributions": contributions, "precisions": precisions}
    print_figures(figures, dataset, {"CPU": 1})
    return 0


def _use_plain_layers(network: nn.Module, family: str, choices: Choices) -> None:
    if not choices.own_layers:
        _replace(network, cpu_layers.Dropout, lambda layer: nn.Dropout(layer.p))
        _replace(network, cpu_layers.Flatten, lambda layer: nn.Flatten())
        _replace(network, cpu_layers.Convolution, _plain_convolution)
        _replace(network, cpu_layers.MeanPool, lambda layer: nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()))
    if not (choices.own_pooling and choices.pool_before_relu):
        pair = (nn.MaxPool2d(2), nn.ReLU()) if choices.pool_before_relu else (nn.ReLU(), nn.MaxPool2d(2))
        # The residual network pools values that are rectified already.
        layers_of = pair if family != "residual" else (nn.MaxPool2d(2),)
        _replace(network, cpu_layers.MaxPoolReLU, lambda layer: nn.Sequential(*layers_of))


def _replace(network: nn.Module, kind: type[nn.Module], build: Callable[[Any], nn.Module]) -> None:
    for name, child in network.named_children():
        if isinstance(child, kind):
            setattr(network, name, build(child))
        else:
            _replace(child, kind, build)


def _plain_convolution(layer: nn.Conv2d) -> nn.Conv2d:
    return nn.Conv2d(layer.in_channels, layer.out_channels, 3, padding=1, bias=layer.bias is not None)


if __name__ == "__main__":
    sys.exit(main())
