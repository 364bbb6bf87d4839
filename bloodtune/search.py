"""The command `search`: a search with the given options, or the list of all runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bloodtune.command_line import leave, run_action
from bloodtune.files import latest_name
from bloodtune.tuning.driver import search
from bloodtune.tuning.flags import read_options, search_parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run a search from the command line.

    Returns:
        0 at the end of the budget or time budget, 1 if no trial has a score or the records could not be written, 2 for
        unusable input, 130 after Ctrl-C.
    """
    arguments = search_parser().parse_args(argv)
    if arguments.list:
        return run_action("bloodtune", lambda: _list(Path(arguments.out)))
    return run_action("bloodtune", lambda: search(read_options(arguments), dry_run=arguments.dry_run)[0])


def _list(out: Path) -> int:
    from rich.console import Console

    from bloodtune.run.overview import list_runs, runs_table

    Console().print(runs_table(list_runs(out), latest_name(out)))
    return 0


if __name__ == "__main__":
    leave(main())
