"""Photographs per second from disk: predicted, with the memory, and read as a search reads a folder.

python benchmarks/prediction.py --data FILE                       photographs drawn from the data's validation images
python benchmarks/prediction.py --data FILE --photographs DIR     the photographs of a folder, in a cycle
"""

from __future__ import annotations

import itertools
import os
import resource
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image

from bloodtune.command_line import positive
from bloodtune.data.dataset import Dataset, load_dataset
from bloodtune.data.parallel_map import usable_cpus
from bloodtune.data.photographs import find_photographs
from bloodtune.data.tiles import read_tiles
from bloodtune.inference.calibrated_network import Deployment
from bloodtune.inference.classifier import Classifier
from bloodtune.inference.predictor import Image as Place
from bloodtune.inference.predictor import Predictor
from bloodtune.training.models import build_network
from common import make_parser, print_figures
from training import configurations

DRAWN = 256


def make_predictor(dataset: Dataset) -> Predictor:
    """Return an untrained residual network of the default recipe; it is as fast as a trained one."""
    size, channels = dataset.train.images.shape[2:]
    ones = torch.ones(channels)
    configuration = configurations()["residual"]
    names = dataset.class_names
    network = build_network(configuration, size=size, classes=len(names), mean=ones, deviation=ones)
    classifier = Classifier(network, configuration, names, size, channels)
    return Predictor(Deployment(classifier), names, size, channels, 0.5, {"data": {}})


def draw_photographs(dataset: Dataset, folder: Path) -> None:
    """Write smear crops of 360 x 363 pixels: enlarged tiles, smoother than photographs and faster to read."""
    for index, tile in enumerate(dataset.val.images[:DRAWN]):
        image = Image.fromarray(tile.squeeze()).resize((360, 363), Image.Resampling.BICUBIC)
        image.save(folder / f"{index}.jpg", quality=95)


def measure(predictor: Predictor, files: Sequence[Path], count: int, workers: int) -> tuple[float, float]:
    """Predict ``count`` photographs; return photographs per second and the process's peak memory in MB."""
    started = time.perf_counter()
    images = (Place(str(file), file) for file in itertools.islice(itertools.cycle(files), count))
    found = sum(1 for _ in predictor.predict(images, workers=workers))
    return found / (time.perf_counter() - started), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure_reading(files: Sequence[Path], count: int) -> tuple[float, float]:
    """Read ``count`` photographs as the data of a search; return photographs per second without and with a cache."""
    cycle = [str(file) for file in itertools.islice(itertools.cycle(files), count)]
    speeds = []
    for _ in range(2):
        started = time.perf_counter()
        read_tiles(Path(), cycle, size=28, crop=None)
        speeds.append(count / (time.perf_counter() - started))
    return speeds[0], speeds[1]


def main(argv: Sequence[str] | None = None) -> int:
    """Print a table and, as the last line, the figures as JSON."""
    parser = make_parser(__doc__ or "", quick="64 photographs")
    parser.add_argument("--photographs", type=Path, metavar="DIR", help="a folder of smear crops")
    parser.add_argument("--count", type=positive, default=2048, help="photographs (default: %(default)s)")
    arguments = parser.parse_args(argv)
    count = 64 if arguments.quick else arguments.count
    dataset, cores = load_dataset(arguments.data), len(usable_cpus())
    predictor = make_predictor(dataset)
    with tempfile.TemporaryDirectory(prefix="bloodtune-photographs-") as drawn:
        if arguments.photographs is None:
            draw_photographs(dataset, Path(drawn))
        files = find_photographs([arguments.photographs or Path(drawn)]).files
        measure(predictor, files, 64, cores)  # the first photographs are slower
        rows = [(n, threads, *measure(predictor, files, n, threads)) for n, threads in ((count, 1), (count, cores))]
        rows.append((4 * count, cores, *measure(predictor, files, 4 * count, cores)))
        os.environ["XDG_CACHE_HOME"] = drawn  # an empty cache, and no trace in the user's
        read = measure_reading(files, count)
    kind = "photographs of a folder" if arguments.photographs else f"photographs drawn from {dataset.title}"
    print(f"{len(files)} {kind}, in a cycle; residual network, eight views, float32")
    print("photographs  threads  photos/s  peak memory")
    for number, threads, speed, memory in rows:
        print(f"{number:11,}  {threads:7}  {speed:8,.0f}  {memory:8,.0f} MB")
    print(f"read as the data of a search, {cores} threads: {read[0]:,.0f} photos/s, {read[1]:,.0f} from the cache")
    keys = ("photographs", "threads", "a_second", "memory_mb")
    figures = {"rows": [dict(zip(keys, row, strict=True)) for row in rows], "read_a_second": read}
    print_figures(figures, dataset, {"CPU": cores})
    return 0


if __name__ == "__main__":
    sys.exit(main())
