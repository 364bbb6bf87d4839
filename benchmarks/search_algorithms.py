"""Search algorithms side by side over tabulated learning curves, with the product's own sampler, queue and rule.

python benchmarks/search_algorithms.py --foreign ../shared/data/curves --jobs 2 --figure FILE.png

No Ray and no training. Each search is simulated: its epochs and seconds come from a table. At its end, or at any
moment before, the best three configurations are trained again with another seed, and the best of them is chosen. Its
true quality is compared with the best of 3,000 random configurations: regret 0 is that best, 1 is their median.
"""

from __future__ import annotations

import io
import json
import multiprocessing
import os
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bloodtune.command_line import OneLineParser, positive
from bloodtune.errors import InputError, unknown_name
from bloodtune.files import replace
from bloodtune.run.provenance import describe_machine, git_commit
from curves.fitted import Fitted, load, names
from curves.tables import Table
from simulation.comparison import Outcomes, Row, compare
from simulation.field import ALGORITHMS, DEFAULT, REFERENCE
from simulation.scale import print_scale

QUICK = {"repeats": 4, "budget": 27, "pool": 400}
FULL = {"repeats": 100, "budget": 64, "pool": 3000}

SAVED_EVERY = 10.0  # seconds, in --results

# Tables of the searches that worker processes simulate; they inherit it.
_TABLES: dict[tuple[str, str], Table] = {}

Job = tuple[str, str, str, int, int, int, int]  # collection, task, algorithm, first and end seed, trials, workers


def main(argv: Sequence[str] | None = None) -> int:
    """Print a table per collection and, as the last line, the figures as JSON."""
    arguments = _parser().parse_args(argv)
    sizes = QUICK if arguments.quick else FULL
    arguments.repeats = arguments.repeats or sizes["repeats"]
    arguments.budget = arguments.budget or sizes["budget"]
    arguments.tasks = arguments.tasks or (2 if arguments.quick else None)
    try:
        chosen = check_algorithms(arguments.algorithms)
        asked = _collections(arguments)[: 1 if arguments.scale else None]
        fitted = [load(name, arguments.foreign, pool=sizes["pool"]) for name in asked]
    except InputError as error:
        print(f"search_algorithms.py: {error}", file=sys.stderr)
        return 2
    if arguments.scale:
        print(json.dumps(print_scale(fitted[0].tables[0]) | _about()))
        return 0
    started = time.perf_counter()
    found = run(fitted, chosen, arguments)
    seconds = time.perf_counter() - started
    rows = {name: compare(outcomes, REFERENCE) for name, outcomes in found.items()}
    for collection in fitted:
        print_collection(collection, rows[collection.name])
    if arguments.figure:
        from simulation.figure import draw

        draw(found, arguments.figure)
    sizes = {"repeats": arguments.repeats, "budget": arguments.budget, "workers": arguments.workers}
    about = {"data": ", ".join(rows), **sizes, "simulation_seconds": round(seconds, 1)} | _about()
    print(json.dumps(summary(rows) | about))
    return 0


def _parser() -> OneLineParser:
    parser = OneLineParser(prog="search_algorithms.py", description=__doc__ or "")
    parser.add_argument("--foreign", type=Path, help="folder of taskset.npz, imagenet.npz and lcbench/")
    parser.add_argument("--tables", nargs="+", help="collections (default: all that can be had)")
    parser.add_argument("--tasks", type=positive, help="tasks of each collection (default: all)")
    parser.add_argument("--algorithms", nargs="+", help=f"of: {', '.join(ALGORITHMS)} (default: all)")
    parser.add_argument("--budget", type=positive, help=f"trials per search (default: {FULL['budget']})")
    parser.add_argument("--workers", type=positive, default=1, help="simulated workers (default: 1)")
    parser.add_argument(
        "--repeats", type=positive, help=f"searches per task and algorithm (default: {FULL['repeats']})"
    )
    parser.add_argument("--jobs", type=positive, default=1, help="processes (default: 1)")
    parser.add_argument("--results", type=Path, help="file of outcomes: those in it are not simulated again")
    parser.add_argument("--figure", type=Path, help="save a figure to this file")
    parser.add_argument("--scale", action="store_true", help="only many workers, suggestion times and memory")
    parser.add_argument("--quick", action="store_true", help="short version: 4 searches of 27 trials, 2 tasks each")
    return parser


def check_algorithms(asked: Sequence[str] | None) -> list[str]:
    """Return the algorithms to run; the reference always is one of them.

    Raises:
        InputError: a name is unknown.
    """
    for name in asked or ():
        if name not in ALGORITHMS:
            raise InputError(unknown_name("algorithm", name, ALGORITHMS))
    return [name for name in ALGORITHMS if not asked or name in asked or name == REFERENCE]


def _collections(arguments: Any) -> list[str]:
    known = list(names(arguments.foreign))
    if not known:
        raise InputError("no tables: give --foreign DIR, or pack a run with benchmarks/curves/curve_tables.py")
    for name in arguments.tables or ():
        if name not in known:
            raise InputError(unknown_name("collection", name, known))
    return list(arguments.tables or known)


def run(fitted: Sequence[Fitted], algorithms: Sequence[str], arguments: Any) -> dict[str, Outcomes]:
    """Simulate all searches; return the outcomes per collection, algorithm and task."""
    _TABLES.update({(c.name, table.task): table for c in fitted for table in c.tables[: arguments.tasks]})
    size = max(1, min(10, arguments.repeats))
    jobs: list[Job] = [
        (*key, name, seed, min(seed + size, arguments.repeats), arguments.budget, arguments.workers)
        for seed in range(0, arguments.repeats, size)
        for name in algorithms
        for key in _TABLES
    ]
    kept = _read_results(arguments.results)
    missing = [job for job in jobs if _key(job) not in kept]
    saved = time.monotonic()
    for job, outcome in _simulate(missing, arguments.jobs):
        kept[_key(job)] = outcome
        if arguments.results and (job == missing[-1] or time.monotonic() - saved > SAVED_EVERY):
            _write_results(arguments.results, kept)
            saved = time.monotonic()
    found: dict[str, dict[str, dict[str, list[np.ndarray]]]] = {}
    for job in jobs:
        collection, task, name = job[:3]
        found.setdefault(collection, {}).setdefault(name, {}).setdefault(task, []).append(kept[_key(job)])
    return {
        collection: {name: {task: np.concatenate(parts) for task, parts in by.items()} for name, by in outcomes.items()}
        for collection, outcomes in found.items()
    }


def _simulate(jobs: Sequence[Job], processes: int) -> Iterator[tuple[Job, np.ndarray]]:
    if processes == 1:
        yield from ((job, simulate_job(job)) for job in jobs)
        return
    with multiprocessing.get_context("fork").Pool(processes) as pool:
        yield from zip(jobs, pool.imap(simulate_job, jobs), strict=True)


def simulate_job(job: Job) -> np.ndarray:
    """Simulate a few searches of one algorithm on one task; return (searches, MOMENTS + 1, 4)."""
    collection, task, name, first, end, trials, workers = job
    table = _TABLES[collection, task]
    runs = [ALGORITHMS[name].run(table, trials=trials, workers=workers, seed=seed) for seed in range(first, end)]
    return np.stack(runs)


def _key(job: Job) -> str:
    return "|".join(map(str, job))


def _write_results(file: Path, kept: dict[str, np.ndarray]) -> None:
    content = io.BytesIO()
    np.savez_compressed(content, allow_pickle=False, **kept)
    replace(file, content.getvalue())


def _read_results(file: Path | None) -> dict[str, np.ndarray]:
    if file is None or not file.is_file():
        return {}
    with np.load(file) as arrays:
        return {name: arrays[name] for name in arrays.files}


def print_collection(collection: Fitted, rows: Sequence[Row]) -> None:
    """Print the surrogates' errors and one line per algorithm."""
    print(f"\n{collection.name}: {len(collection.tables)} tasks")
    if collection.errors:
        errors = list(collection.errors.values())
        rmse, spearman, spread = (np.median([error[k] for error in errors]) for k in ("rmse", "spearman", "spread"))
        print(
            f"surrogate on held-out configurations (median over tasks): RMSE of the log error {rmse:.3f} "
            f"(standard deviation at the end {spread:.3f}), Spearman at the last epoch {spearman:.2f}"
        )
    print(
        f"{'algorithm':16} {'epochs':>6} {'seconds':>9} {'regret':>20} {'rank %':>20} "
        f"{'equal epochs':>20} {'place':>5} {'won':>4} {'epochs ratio':>16} {'seconds ratio':>16}"
    )
    for row in rows:
        print(
            f"{row.algorithm:16} {row.epochs:6.0f} {row.seconds:9.4g} {_span(row.regret, 3):>20} "
            f"{_span(row.rank, 2):>20} {_span(row.equal, 3):>20} {row.place:5.1f} {row.won:4.0%} "
            f"{_span(row.epochs_ratio, 2):>16} {_span(row.seconds_ratio, 2):>16}"
        )


def _span(values: tuple[float, float, float], digits: int) -> str:
    low, middle, high = (f"{value:.{digits}f}" for value in values)
    return f"{middle} [{low}, {high}]"


def summary(rows: dict[str, list[Row]]) -> dict[str, Any]:
    """Return, per collection, the ratios of the default: low, median and high."""
    found: dict[str, Any] = {}
    for name, members in rows.items():
        default = next((row for row in members if row.algorithm == DEFAULT), None)
        if default is not None:
            ratios = {"epochs_ratio": default.epochs_ratio, "seconds_ratio": default.seconds_ratio}
            found[name] = {key: [round(value, 3) for value in ratio] for key, ratio in ratios.items()}
    return found


def _about() -> dict[str, Any]:
    return {"git_commit": git_commit(), "machine": describe_machine({"CPU": os.cpu_count() or 1})}


if __name__ == "__main__":
    sys.exit(main())
