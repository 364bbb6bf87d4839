"""The command line of the search, made from its options."""

from __future__ import annotations

import argparse
import dataclasses
from typing import Any

from bloodtune.command_line import OneLineParser
from bloodtune.tuning.options import FILES, SWITCH, SearchOptions


def search_parser() -> argparse.ArgumentParser:
    """Return the parser of ``python -m bloodtune.search``."""
    parser = OneLineParser(
        prog="python -m bloodtune.search",
        description="Search for the best blood-cell classifier within a given number of trials: Optuna\n"
        "proposes configurations, Ray Tune runs them in parallel on CPU cores or GPUs, and ASHA\n"
        "prunes weak ones early. Every epoch is recorded in a run directory as it comes.",
        epilog="examples:\n"
        "  python -m bloodtune.search --budget 64                        the default search\n"
        "  python -m bloodtune.search --recipe mlnn --time-budget 30m    one family, half an hour\n"
        "  python -m bloodtune.search --data my_cells --dry-run          print the plan only\n"
        "  python -m bloodtune.search --resume latest                    continue where it stopped\n\n"
        "exit codes:\n"
        "  0    finished, or time budget used up\n"
        "  1    no trial has a score, or the records could not be written\n"
        "  2    input that cannot be used\n"
        "  130  stopped by Ctrl-C",
    )
    for field in dataclasses.fields(SearchOptions):
        _add(_group(parser, field.metadata["group"]), field)
    others = _group(parser, FILES)
    others.add_argument(
        "--list",
        action="store_true",
        help="list the runs there: state, trials, best score, data, age, size; * is the latest",
    )
    others.add_argument("--dry-run", action="store_true", help="print the plan and stop")
    return parser


def read_options(arguments: argparse.Namespace) -> SearchOptions:
    """Return the options that parsed arguments give."""
    given: dict[str, Any] = {}
    for field in dataclasses.fields(SearchOptions):
        value = getattr(arguments, field.name)
        given[field.name] = tuple(value or ()) if isinstance(field.default, tuple) else value
    return SearchOptions(**given)


def _group(parser: argparse.ArgumentParser, title: str) -> argparse._ArgumentGroup:
    known = [group for group in parser._action_groups if group.title == title]
    return known[0] if known else parser.add_argument_group(title)


def _add(group: argparse._ArgumentGroup, field: dataclasses.Field[Any]) -> None:
    kind, flag = field.metadata["kind"], f"--{field.name.replace('_', '-')}"
    text = field.metadata["help"].replace("%", "%%")
    if kind is SWITCH:
        group.add_argument(flag, action="store_true", help=text)
        return
    options: dict[str, Any] = {"default": field.default, "metavar": kind.metavar, "help": text, "type": kind.parse}
    if isinstance(field.default, tuple):
        options |= {"action": "append", "default": None}
    if kind.choices:
        options |= {"choices": kind.choices, "metavar": None}
    group.add_argument(flag, **options)
