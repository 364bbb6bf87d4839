"""What the benchmarks share: their flags, and the last line that programs read."""

from __future__ import annotations

import argparse
import json
from typing import Any

from bloodtune.command_line import OneLineParser
from bloodtune.data.dataset import Dataset
from bloodtune.run.provenance import describe_machine, git_commit


def make_parser(description: str, *, quick: str) -> argparse.ArgumentParser:
    """Return a parser with ``--data`` and ``--quick``, of which ``quick`` says what it leaves."""
    parser = OneLineParser(prog="benchmark", description=description)
    parser.add_argument("--data", help="as of the search")
    parser.add_argument("--quick", action="store_true", help=f"a short one: {quick}")
    return parser


def print_figures(figures: dict[str, Any], dataset: Dataset, resources: dict[str, float]) -> None:
    """Print the last line: one JSON object with the figures, the data, the code and the machine."""
    about = {"data": dataset.title, "git_commit": git_commit(), "machine": describe_machine(resources)}
    print(json.dumps(figures | about))
