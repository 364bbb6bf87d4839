"""Throughput: a usual Ray Tune program and ours on the same trials, timed as whole processes.

python benchmarks/throughput.py --data FILE
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, median
from typing import Any

import numpy as np

from bloodtune.command_line import positive
from bloodtune.data.dataset import Dataset, load_dataset
from bloodtune.run.directory import PROVENANCE, RunDirectory
from bloodtune.space.recipe_file import load_recipe
from common import make_parser, print_figures

FOLDER = Path(__file__).resolve().parent
RECIPE = FOLDER / "throughput.toml"


@dataclass(frozen=True)
class Timed:
    """Seconds of a whole process and of its search, and the last validation macro-F1 of each trial."""

    seconds: float
    searching: float
    scores: list[float]
    precision: str = "float32"


def run_usual(dataset: Dataset, configurations: int, epochs: int, workers: int, folder: Path) -> Timed:
    """Time the usual program."""
    file, asked, scores = folder / "splits.npz", folder / "configurations.json", folder / "scores.json"
    arrays: dict[str, Any] = {}
    for name, split in (("train", dataset.train), ("val", dataset.val)):
        arrays |= {f"{name}_images": split.images, f"{name}_labels": split.labels[:, None]}
    np.savez(file, **arrays)
    entries = load_recipe(str(RECIPE)).enqueued[:configurations]
    extra = {"file": str(file), "epochs": epochs}
    asked.write_text(json.dumps([entry.configuration.to_mapping() | extra for entry in entries]))
    seconds = _time([str(FOLDER / "usual_program.py"), str(asked), str(scores), "--workers", str(workers)])
    return Timed(seconds, seconds, json.loads(scores.read_text()))


def run_ours(dataset: Dataset, configurations: int, epochs: int, workers: int, folder: Path) -> Timed:
    """Time a search by Bloodtune."""
    command = ["-m", "bloodtune.search", "--recipe", str(RECIPE), "--data", dataset.source, "--out", str(folder)]
    command += ["--budget", str(configurations), "--max-epochs", str(epochs), "--workers", str(workers)]
    seconds = _time(command)
    run = RunDirectory.open(folder / "latest")
    scores = [record.val_macro_f1 or 0.0 for record in run.trials()]
    record = run.read_json(PROVENANCE)
    why = f"{record['precision']}: {record['reasons']['precision']}"
    return Timed(seconds, record["wall_seconds"], scores, why)


def main(argv: Sequence[str] | None = None) -> int:
    """Print a table and, as the last line, the figures as JSON."""
    parser = make_parser(__doc__ or "", quick="two configurations for one epoch")
    parser.add_argument("--workers", type=positive, default=2, help="simultaneous trials (default: %(default)s)")
    parser.add_argument("--repeats", type=positive, default=1, help="runs of each, in turns; medians are printed")
    arguments = parser.parse_args(argv)
    configurations, epochs = (2, 1) if arguments.quick else (8, 3)
    dataset = load_dataset(arguments.data)
    images = configurations * epochs * len(dataset.train.labels)
    seconds: dict[str, list[float]] = {"usual": [], "ours": []}
    scores: dict[str, list[float]] = {"usual": [], "ours": []}
    precisions: dict[str, str] = {}
    for _ in range(arguments.repeats):
        for name, run in (("usual", run_usual), ("ours", run_ours)):
            with tempfile.TemporaryDirectory(prefix="bloodtune-throughput-") as folder:
                timed = run(dataset, configurations, epochs, arguments.workers, Path(folder))
            seconds[name].append(timed.seconds)
            scores[name] += timed.scores
            precisions[name] = timed.precision
    usual, ours = median(seconds["usual"]), median(seconds["ours"])
    print(f"{configurations} configurations x {epochs} epochs of {dataset.title}, {arguments.workers} workers")
    print(f"{'program':8}{'seconds':>9}{'images/s':>10}{'mean macro-F1':>15}{'lowest':>8}{'highest':>9}")
    for name, took in (("usual", usual), ("ours", ours)):
        found = scores[name]
        print(f"{name:8}{took:9.1f}{images / took:10,.0f}{mean(found):15.4f}{min(found):8.4f}{max(found):9.4f}")
    print(f"ratio {usual / ours:.2f}; ours in {precisions['ours']}")
    figures = {
        "usual_seconds": usual,
        "ours_seconds": ours,
        "ratio": usual / ours,
        "images": images,
        "precision": precisions["ours"],
    }
    spread = {"usual_scores": scores["usual"], "ours_scores": scores["ours"]}
    print_figures(figures | spread, dataset, {"CPU": arguments.workers})
    return 0


def _time(arguments: list[str]) -> float:
    started = time.perf_counter()
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True)
    took = time.perf_counter() - started
    if done.returncode:
        sys.exit(f"{arguments[0]} ended with exit code {done.returncode}:\n{done.stderr}")
    return took


if __name__ == "__main__":
    sys.exit(main())
