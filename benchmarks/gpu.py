"""Benchmark of one GPU: images/s per family, simultaneous trials, a search, the speedrun.

python benchmarks/gpu.py --data FILE
"""

from __future__ import annotations

import dataclasses
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import mean
from typing import Any

import joblib
import torch
from torch.utils.flop_counter import FlopCounterMode

import speedrun
from bloodtune.data.dataset import Dataset, load_dataset, load_test_split
from bloodtune.run.directory import PROVENANCE, RunDirectory
from bloodtune.run.records import best_record
from bloodtune.space.configuration import Configuration
from bloodtune.space.recipe_file import load_recipe
from bloodtune.training.device_splits import DeviceSplits
from bloodtune.training.numerics import Numerics, describe_times
from bloodtune.training.trainer import Training
from bloodtune.tuning.gpu_sharing import MOST, activations, heaviest, measure
from bloodtune.tuning.ray_cluster import LOCAL, connect
from common import make_parser, print_figures
from training import configurations, make_network, measure_numerics

BATCH_SIZES = (64, 128, 256, 512)


def measure_peaks(numerics: Numerics) -> dict[str, float]:
    """Return the GPU's peaks: operations/s of a matrix product in this precision, bytes/s of a copy."""
    square = torch.randn(2, 8192, 8192, device="cuda").to(numerics.dtype).unbind()
    memory = torch.empty(2, 2**30, dtype=torch.uint8, device="cuda").unbind()
    with numerics.autocast(square[0].device):
        product = best_seconds(lambda: torch.mm(*square))
    copy = best_seconds(lambda: memory[0].copy_(memory[1]))
    return {"operations": 2 * 8192**3 / product, "bytes": 2 * 2**30 / copy}


def best_seconds(action: Callable[[], object], rounds: int = 10) -> float:
    """Return the seconds of the fastest of ``rounds`` runs, including the GPU's work."""
    best = float("inf")
    for _ in range(rounds + 3):
        torch.cuda.synchronize()
        started = time.perf_counter()
        action()
        torch.cuda.synchronize()
        best = min(best, time.perf_counter() - started)
    return best


def measure_families(splits: DeviceSplits, numerics: Numerics, rounds: int) -> list[dict[str, Any]]:
    """Return images/s of a training epoch with recorded steps, one row per family and batch size."""
    rows = []
    for family, configuration in configurations().items():
        operations = operations_of_image(family, splits)
        # The least possible traffic: each layer's output and its gradient, in 16 bits, written and read once.
        traffic = 4 * 2 * activations(configuration, splits)
        for batch_size in BATCH_SIZES:
            changed = dataclasses.replace(configuration, batch_size=batch_size, learning_rate=1e-4)
            rate, reserved = measure_training(changed, splits, numerics, rounds)
            row = {"family": family, "batch_size": batch_size, "images_per_second": rate}
            rows.append(row | {"operations": operations * rate, "traffic": traffic * rate, "bytes": reserved})
    return rows


def measure_training(
    configuration: Configuration, splits: DeviceSplits, numerics: Numerics, rounds: int
) -> tuple[float, int]:
    """Return images/s of the fastest epoch, and the largest reserved GPU memory in bytes."""
    torch.cuda.empty_cache()  # free the memory of the previous measurement
    torch.cuda.reset_peak_memory_stats()
    training = Training(configuration, splits, max_epochs=10**6, seed=0, numerics=numerics)
    training.train_epoch()
    rate = len(splits.train_labels) / best_seconds(training.train_epoch, rounds)
    return rate, torch.cuda.max_memory_reserved()


def operations_of_image(family: str, splits: DeviceSplits) -> float:
    """Return the floating-point operations of the forward and backward pass of one image."""
    network = make_network(configurations()[family], splits)
    with FlopCounterMode(display=False) as counter:
        network(splits.train_images[:8].permute(0, 3, 1, 2)).sum().backward()
    return int(counter.get_total_flops()) / 8


def measure_packing(dataset: Dataset, numerics: Numerics, most: int) -> dict[int, float]:
    """Return the total images/s of 1, 2, 4 ... simultaneous trainings, validation included."""
    with connect(LOCAL, workers=None, image_bytes=dataset.bytes_to_copy) as resources:
        if not resources.get("GPU"):
            sys.exit("torch finds a GPU here, but Ray does not")
        return dict(measure(dataset, heaviest(load_recipe("default")), most=most, numerics=numerics))


def time_search(dataset: Dataset, budget: int, folder: Path) -> dict[str, Any]:
    """Return the seconds of a whole search process, its numbers of trials and epochs, and its best score."""
    command = [sys.executable, "-m", "bloodtune.search", "--budget", str(budget), "--data", dataset.source]
    started = time.perf_counter()
    done = subprocess.run([*command, "--out", str(folder)], capture_output=True, text=True)
    seconds = time.perf_counter() - started
    if done.returncode:
        sys.exit(f"the search ended with exit code {done.returncode}:\n{done.stderr}")
    run = RunDirectory.open(folder / "latest")
    best = best_record(run.trials())
    return {
        "seconds": seconds,
        "trials": len(run.trials()),
        "epochs": len(run.curves()),
        "gpus_per_trial": run.read_json(PROVENANCE)["gpus_per_trial"],
        "best_val_macro_f1": best.best_val_macro_f1 if best else None,
    }


def time_speedrun(dataset: Dataset, numerics: Numerics, seeds: int, epochs: int) -> dict[str, list[float]]:
    """Return seconds and test accuracy per seed; a first run, which sets up the GPU, is reported separately."""
    test = load_test_split(dataset.source, dataset.md5)
    runs = [speedrun.train_once(dataset, test, epochs, seed, "cuda", numerics) for seed in (1000, *range(seeds))]
    return {
        "setup_seconds": [runs[0][0]],
        "seconds": [seconds for seconds, _ in runs[1:]],
        "test_accuracies": [accuracy for _, accuracy in runs[1:]],
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Print tables and, as the last line, their figures as JSON; without a GPU, print that there is none."""
    quick = "two epochs per row, two trials on the GPU, a search of 4, two seeds of one epoch"
    arguments = make_parser(__doc__ or "", quick=quick).parse_args(argv)
    dataset = load_dataset(arguments.data)
    if not torch.cuda.is_available():
        print("no GPU here: torch.cuda.is_available() is false")
        print_figures({"gpu": None}, dataset, {"CPU": 1})
        return 0
    rounds, most, budget, seeds, epochs = (2, 2, 4, 2, 1) if arguments.quick else (10, MOST, 64, 5, speedrun.EPOCHS)
    name = torch.cuda.get_device_name()
    splits = DeviceSplits.load(dataset.train, dataset.val, "cuda")
    numerics, times = measure_numerics(splits)
    print(f"{name}: {numerics.precision} ({describe_times(times)})")
    run = time_speedrun(dataset, numerics, seeds, epochs)
    print(f"speedrun, {epochs} epochs, mean of {seeds} seeds: {mean(run['seconds']):.2f} s", end="")
    print(f", test accuracy {mean(run['test_accuracies']):.4f}; the first run took {run['setup_seconds'][0]:.1f} s\n")
    peaks = measure_peaks(numerics)
    print(
        f"{numerics.precision} product {peaks['operations'] / 1e12:,.0f} TFLOP/s, copy {peaks['bytes'] / 1e12:.2f} TB/s"
    )
    rows = measure_families(splits, numerics, rounds)
    print(f"\n{'family':12}{'batch':>6}{'images/s':>12}{'of peak FLOP/s':>16}{'of peak TB/s':>14}{'MB':>8}")
    for row in rows:
        arithmetic, memory = row["operations"] / peaks["operations"], row["traffic"] / peaks["bytes"]
        print(f"{row['family']:12}{row['batch_size']:6}{row['images_per_second']:12,.0f}", end="")
        print(f"{arithmetic:16.2%}{memory:14.2%}{row['bytes'] / 1e6:8,.0f}")
    packing = measure_packing(dataset, numerics, most)
    print("\nsimultaneous trainings   total images/s (the largest configuration of the default recipe)")
    for count, rate in packing.items():
        print(f"{count:22}{rate:18,.0f}")
    with tempfile.TemporaryDirectory(prefix="bloodtune-gpu-") as folder:
        search = time_search(dataset, budget, Path(folder))
    print(f"\nsearch of {search['trials']} configurations, {search['epochs']} epochs: {search['seconds']:.1f} s")
    print(f"  with the measurement that chose {search['gpus_per_trial']:g} GPU per trial; ", end="")
    print(f"best validation macro-F1 {search['best_val_macro_f1']:.4f}")
    figures = {"gpu": name, **numerics.to_mapping(), "step_times": times, "peaks": peaks, "families": rows}
    figures |= {"packing": packing, "search": search, "speedrun": run}
    print_figures(figures, dataset, {"CPU": joblib.cpu_count(), "GPU": 1})
    return 0


if __name__ == "__main__":
    sys.exit(main())
