"""The command `search`: a search with the given options, or the list of all runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bloodtune.command_line import INTERRUPTED, leave, print_lines
from bloodtune.errors import InputError
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
    try:
        if arguments.list:
            return _list(Path(arguments.out))
        code, _ = search(read_options(arguments), dry_run=arguments.dry_run)
        return code
    except InputError as error:
        print_lines(f"bloodtune: {error}")
        return 2
    except KeyboardInterrupt:
        print_lines("bloodtune: stopped")
        return INTERRUPTED


def _list(out: Path) -> int:
    from rich.console import Console

    from bloodtune.run.overview import list_runs, runs_table

    Console().print(runs_table(list_runs(out), latest_name(out)))
    return 0


if __name__ == "__main__":
    leave(main())
