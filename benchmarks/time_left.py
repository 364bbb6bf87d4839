"""Error of the time left that a search shows, over simulated searches, whose end is known.

python benchmarks/time_left.py --workers 2

No Ray and no training. Each search runs on a table of learning curves (benchmarks/curves) with the default recipe and
its enqueued configurations. The forecast is made at shares of the search's time, from what the driver knows then.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import sys
from collections.abc import Sequence

import numpy as np

from bloodtune.command_line import OneLineParser, positive
from bloodtune.run.provenance import describe_machine, git_commit
from bloodtune.tuning.forecast import forecast
from curves.fitted import load
from curves.tables import Table
from simulation.field import ALGORITHMS, Algorithm
from simulation.replay import trials_at

TABLE = "blood"
SHARES = (0.1, 0.2, 0.5, 0.8)  # of a search's time
QUICK = {"repeats": 4, "pool": 400}
FULL = {"repeats": 200, "pool": 3000}


def main(argv: Sequence[str] | None = None) -> int:
    """Print the median and the 90 % quantile of the error per algorithm and share; the last line is JSON."""
    arguments = _arguments(argv)
    size = QUICK if arguments.quick else FULL
    repeats = arguments.repeats or size["repeats"]
    table = load(TABLE, None, pool=size["pool"]).tables[0]
    figures: dict[str, dict[str, list[float]]] = {}
    print(f"{'algorithm':16} {'at':>5} {'median':>7} {'90 %':>7} {'bias':>7}")
    for name in arguments.algorithms:
        errors = np.array(
            [forecast_errors(ALGORITHMS[name], table, arguments.budget, arguments.workers, s) for s in range(repeats)]
        )
        figures[name] = {}
        for share, column in zip(SHARES, errors.T, strict=True):
            median, high, bias = np.median(abs(column)), np.quantile(abs(column), 0.9), np.median(column)
            figures[name][f"{share:.0%}"] = [round(float(value), 3) for value in (median, high, bias)]
            print(f"{name:16} {share:5.0%} {median:7.0%} {high:7.0%} {bias:+7.0%}")
    about = {"budget": arguments.budget, "workers": arguments.workers, "repeats": repeats, "data": TABLE}
    machine = describe_machine({"CPU": os.cpu_count() or 1})
    print(json.dumps({"errors": figures} | about | {"git_commit": git_commit(), "machine": machine}))
    return 0


def forecast_errors(algorithm: Algorithm, table: Table, budget: int, workers: int, seed: int) -> list[float]:
    """Simulate a search; return, at each of ``SHARES`` of its time, the forecast over the truth, less one."""
    algorithm = dataclasses.replace(algorithm, is_enqueued=True)
    search, queue = algorithm.search(table, budget=budget, workers=workers, seed=seed)
    end = search.reports[-1].seconds
    errors = []
    for share in SHARES:
        trials = trials_at(search, queue.finished, share * end)
        errors.append(forecast(queue.recipe, budget, trials, workers).seconds / ((1 - share) * end) - 1)
    return errors


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = OneLineParser(prog="time_left.py", description=__doc__ or "")
    names = ", ".join(ALGORITHMS)
    parser.add_argument("--algorithms", nargs="+", choices=ALGORITHMS, default=["random-capped"], help=f"of: {names}")
    parser.add_argument("--budget", type=positive, default=64, help="trials per search (default: %(default)s)")
    parser.add_argument("--workers", type=positive, default=2, help="simulated workers (default: %(default)s)")
    parser.add_argument("--repeats", type=positive, help=f"searches per algorithm (default: {FULL['repeats']})")
    parser.add_argument("--quick", action="store_true", help=f"short version: {QUICK['repeats']} searches")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
