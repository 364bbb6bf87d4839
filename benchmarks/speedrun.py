"""Speedrun: seconds on one CPU core to 94 % test accuracy, the second paper's result.

python benchmarks/speedrun.py --data FILE             mean seconds over seeds; data are in memory at the start
python benchmarks/speedrun.py --data FILE --choose    scores numbers of epochs on validation, which chose EPOCHS
"""

from __future__ import annotations

import dataclasses
import sys
import time
from collections.abc import Iterable, Sequence
from statistics import mean, stdev

import numpy as np
import torch

from bloodtune.command_line import positive
from bloodtune.data.dataset import Dataset, load_dataset, load_test_split
from bloodtune.data.npz import Split
from bloodtune.training.device_splits import DeviceSplits
from bloodtune.training.numerics import FLOAT32, Numerics
from bloodtune.training.prediction import predict
from bloodtune.training.process_setup import prepare_process
from bloodtune.training.trainer import Training
from common import make_parser, print_figures
from training import configurations, measure_numerics

# The residual network of the default recipe at its smaller width, with settings for few epochs: no shifts and no
# dropout, which pay only in longer trainings. No setting was chosen on test images.
CONFIGURATION = dataclasses.replace(configurations()["residual"], width=16, batch_size=64, shift=0)
EPOCHS = 6
TARGET = 0.94


def train_once(
    dataset: Dataset, scored: Split, epochs: int, seed: int, device: str = "cpu", numerics: Numerics = FLOAT32
) -> tuple[float, float]:
    """Train from arrays in memory and predict ``scored``; return the seconds of both and the accuracy.

    The number of epochs is fixed, so there is no validation during the training.
    """
    started = time.perf_counter()
    splits = DeviceSplits.load(dataset.train, dataset.val, device)
    training = Training(CONFIGURATION, splits, max_epochs=epochs, seed=seed, numerics=numerics)
    for _ in range(epochs):
        training.train_epoch()
    images = torch.from_numpy(scored.images).to(device)
    predicted = predict(training.network, images, CONFIGURATION, numerics=numerics).argmax(1).cpu().numpy()
    return time.perf_counter() - started, float(np.mean(predicted == scored.labels))


def choose_epochs(
    dataset: Dataset, candidates: Iterable[int], seeds: int, numerics: Numerics
) -> list[dict[str, float]]:
    """Return the mean validation accuracy per number of epochs, over seeds that the timed runs do not use."""
    rows = []
    for epochs in candidates:
        found = [train_once(dataset, dataset.val, epochs, 1000 + seed, numerics=numerics) for seed in range(seeds)]
        accuracies = [accuracy for _, accuracy in found]
        rows.append({"epochs": epochs, "val_accuracy": mean(accuracies), "seconds": mean(took for took, _ in found)})
    return rows


def main(argv: Sequence[str] | None = None) -> int:
    """Print a table and, as the last line, the figures as JSON."""
    parser = make_parser(__doc__ or "", quick="two seeds of one epoch")
    parser.add_argument("--seeds", type=positive, default=5, help="trainings (default: %(default)s)")
    parser.add_argument("--choose", action="store_true", help="only score numbers of epochs on validation")
    arguments = parser.parse_args(argv)
    prepare_process("cpu")
    dataset = load_dataset(arguments.data)
    numerics, _ = measure_numerics(DeviceSplits.load(dataset.train, dataset.val))
    seeds, epochs = (2, 1) if arguments.quick else (arguments.seeds, EPOCHS)
    if arguments.choose:
        rows = choose_epochs(dataset, [1] if arguments.quick else range(3, 10), seeds, numerics)
        print("epochs  validation accuracy  seconds")
        for row in rows:
            print(f"{row['epochs']:6}  {row['val_accuracy']:19.4f}  {row['seconds']:7.1f}")
        print_figures({"choice": rows}, dataset, {"CPU": 1})
        return 0
    test = load_test_split(dataset.source, dataset.md5)
    runs = [train_once(dataset, test, epochs, seed, numerics=numerics) for seed in range(seeds)]
    seconds, accuracies = [took for took, _ in runs], [accuracy for _, accuracy in runs]
    print(f"{epochs} epochs, one CPU core, {dataset.title}, {seeds} seeds, {numerics.precision}; nothing is compiled")
    for name, values, form in (("seconds", seconds, ".1f"), ("test accuracy", accuracies, ".4f")):
        deviation = stdev(values) if seeds > 1 else 0.0
        spread = f"sd {deviation:{form}}, {min(values):{form}} to {max(values):{form}}"
        print(f"{name:14} mean {mean(values):{form}}, {spread}")
    reached = mean(accuracies) >= TARGET
    print(f"mean test accuracy of {TARGET:.0%} {'reached' if reached else 'NOT reached'}")
    figures = {"seconds": seconds, "mean_seconds": mean(seconds), "test_accuracies": accuracies, "reached": reached}
    print_figures(figures | {"epochs": epochs}, dataset, {"CPU": 1})
    return 0


if __name__ == "__main__":
    sys.exit(main())
