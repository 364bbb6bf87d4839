"""Benchmark of fields of view: leukocytes found beside boxes of a person, fields per second, and memory.

python benchmarks/fields.py DIR --data FILE           pictures and boxes.csv (file_name, object, xmin, ymin, xmax, ymax)

Constants were chosen on the first, third, fifth ... picture by name; the others are the half to judge by.
"""

from __future__ import annotations

import csv
import resource
import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from bloodtune.command_line import positive
from bloodtune.data.dataset import load_dataset
from bloodtune.data.parallel_map import usable_cpus
from bloodtune.errors import InputError
from bloodtune.inference.differential import Box, wilson
from bloodtune.inference.field_predictor import FieldPredictor
from bloodtune.inference.fields import find
from bloodtune.inference.predictor import Image as Source
from bloodtune.inference.predictor import Predictor, in_threads
from common import make_parser, print_figures
from prediction import make_predictor

LEUKOCYTE = "WBC"


def read_boxes(folder: Path) -> dict[str, list[Box]]:
    """Return the boxes of the leukocytes of each picture that ``boxes.csv`` lists."""
    found: dict[str, list[Box]] = defaultdict(list)
    with (folder / "boxes.csv").open(newline="", encoding="utf-8") as stream:
        for row in csv.DictReader(stream):
            x0, y0, x1, y1 = (int(row[side]) for side in ("xmin", "ymin", "xmax", "ymax"))
            found[row["file_name"]] += [(x0, y0, x1, y1)] if row["object"] == LEUKOCYTE else []
    return dict(found)


def match(true: Sequence[Box], found: Sequence[Box]) -> int:
    """Return how many found boxes have their centre in a true box of their own."""
    left = list(true)
    for box in found:
        x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
        hit = next((one for one in left if one[0] <= x <= one[2] and one[1] <= y <= one[3]), None)
        if hit:
            left.remove(hit)
    return len(true) - len(left)


def count_matches(folder: Path, boxes: dict[str, list[Box]], names: Sequence[str]) -> tuple[int, int, int, int]:
    """Return the numbers of true leukocytes, of those found, of all found cells, and of those cut by the border."""

    def work(name: str) -> list[tuple[int, int, int, int]]:
        try:
            field = find(np.asarray(Image.open(folder / name).convert("RGB")))
        except InputError:  # its leukocytes count as missed
            return [(len(boxes[name]), 0, 0, 0)]
        found = [*field.cells, *field.cut]
        return [(len(boxes[name]), match(boxes[name], found), len(found), len(field.cut))]

    true, hits, found, cut = (sum(column) for column in zip(*in_threads(work, names), strict=True))
    return true, hits, found, cut


def measure(predictor: Predictor, files: Sequence[Path], workers: int) -> tuple[float, float, float]:
    """Count fields with PNG pictures; return fields per second, CPU seconds per field, and the peak memory in MB."""
    started, spent = time.perf_counter(), time.process_time()
    fields = FieldPredictor(predictor, drawn=True)
    for _ in fields.predict((Source(str(file), file) for file in files), workers):
        pass
    speed, cost = len(files) / (time.perf_counter() - started), (time.process_time() - spent) / len(files)
    return speed, cost, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main(argv: Sequence[str] | None = None) -> int:
    """Print a table and, as the last line, the figures as JSON."""
    parser = make_parser(__doc__ or "", quick="16 fields")
    parser.add_argument("folder", type=Path, metavar="DIR", help="fields of view with boxes.csv")
    parser.add_argument("--count", type=positive, help="fields (default: all)")
    arguments = parser.parse_args(argv)
    boxes = read_boxes(arguments.folder)
    names = sorted(boxes)[: 16 if arguments.quick else arguments.count]
    halves = {"chosen on": names[::2], "judged on": names[1::2]}
    rows = {half: count_matches(arguments.folder, boxes, chosen) for half, chosen in halves.items()}
    print("half        fields  leukocytes  found  false  cut  recall %            precision %")
    for half, (true, hits, found, cut) in rows.items():
        shares = [f"{100 * hits / n:.1f} ({_interval(hits, n)})" if n else "" for n in (true, found)]
        print(f"{half:10}  {len(halves[half]):6}  {true:10}  {hits:5}  {found - hits:5}  {cut:3}", *shares, sep="  ")
    dataset, cores = load_dataset(arguments.data), len(usable_cpus())
    speed, cost, memory = measure(make_predictor(dataset), [arguments.folder / name for name in names], cores)
    print(
        f"{speed:.1f} fields per second with classes and PNG pictures on {cores} threads, {cost:.3f} s of CPU per field"
    )
    print(f"{memory:,.0f} MB at most")
    keys = ("leukocytes", "hits", "found", "cut")
    figures = {half.replace(" ", "_"): dict(zip(keys, row, strict=True)) for half, row in rows.items()}
    print_figures(figures | {"fields_a_second": speed, "cpu_s": cost, "memory_mb": memory}, dataset, {"CPU": cores})
    return 0


def _interval(hits: int, total: int) -> str:
    low, high = wilson(hits, total)
    return f"{100 * low:.1f}–{100 * high:.1f}"


if __name__ == "__main__":
    sys.exit(main())
