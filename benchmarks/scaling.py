"""Scaling of the search: the same trials on one worker and on two.

python benchmarks/scaling.py --data FILE
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from bloodtune.command_line import positive
from bloodtune.data.dataset import load_dataset
from common import make_parser, print_figures
from throughput import run_ours

EPOCHS = 6


def main(argv: Sequence[str] | None = None) -> int:
    """Print a table and, as the last line, the figures as JSON."""
    parser = make_parser(__doc__ or "", quick="two configurations for one epoch")
    parser.add_argument(
        "--workers", type=positive, default=2, help="workers to compare with one (default: %(default)s)"
    )
    parser.add_argument("--repeats", type=positive, default=1, help="runs of each, in turns; medians are printed")
    arguments = parser.parse_args(argv)
    configurations, epochs = (2, 1) if arguments.quick else (8, EPOCHS)
    dataset = load_dataset(arguments.data)
    seconds: dict[int, list[float]] = {1: [], arguments.workers: []}
    for _ in range(arguments.repeats):
        for workers, taken in seconds.items():
            with tempfile.TemporaryDirectory(prefix="bloodtune-scaling-") as folder:
                taken.append(run_ours(dataset, configurations, epochs, workers, Path(folder)).searching)
    images = configurations * epochs * len(dataset.train.labels)
    print(f"{configurations} configurations x {epochs} epochs of {dataset.title}, without start and end of the process")
    for workers, taken in seconds.items():
        print(f"{workers} workers  {median(taken):7.1f} s  {images / median(taken):9,.0f} images/s")
    ratio = median(seconds[1]) / median(seconds[arguments.workers])
    print(f"ratio {ratio:.2f}")
    print_figures({"seconds": seconds, "ratio": ratio}, dataset, {"CPU": arguments.workers})
    return 0


if __name__ == "__main__":
    sys.exit(main())
