"""Shared parts of the benchmarks: flags, and the last output line as JSON."""

from __future__ import annotations

import argparse
import json
from typing import Any

from bloodtune.command_line import OneLineParser
from bloodtune.data.dataset import Dataset
from bloodtune.run.provenance import describe_machine, git_commit


def make_parser(description: str, *, quick: str) -> argparse.ArgumentParser:
    """Return a parser with ``--data`` and ``--quick``; ``quick`` describes the short version for the help text."""
    parser = OneLineParser(prog="benchmark", description=description)
    parser.add_argument("--data", help="data set, as in the search")
    parser.add_argument("--quick", action="store_true", help=f"short version: {quick}")
    return parser


def print_figures(figures: dict[str, Any], dataset: Dataset, resources: dict[str, float]) -> None:
    """Print one line: a JSON object with the figures, the data, the commit and the machine."""
    about = {"data": dataset.title, "git_commit": git_commit(), "machine": describe_machine(resources)}
    print(json.dumps(figures | about))
