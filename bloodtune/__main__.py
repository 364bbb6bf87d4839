"""Console command ``bloodtune``: search, summarize, data, predict, evaluate, adapt, serve."""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from bloodtune.command_line import leave, print_lines
from bloodtune.errors import unknown_name

# subcommand: (module, help text)
COMMANDS = {
    "search": ("bloodtune.search", "search for the best classifier within a number of trials"),
    "summarize": ("summarize", "retrain the best models of a search; write tables, figures and the report"),
    "data": ("bloodtune.data.__main__", "show what a folder of photographs or an .npz file holds"),
    "predict": ("bloodtune.predict", "count the cells in photographs"),
    "evaluate": ("bloodtune.evaluate", "score a model on labelled images"),
    "adapt": ("bloodtune.adapt", "train a model further on labelled photographs of another laboratory"),
    "serve": ("bloodtune.serve", "count the cells in photographs on a local web page"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run a subcommand; return its exit code, or 2 for an unknown subcommand."""
    name, *rest = (sys.argv[1:] if argv is None else argv) or ["--help"]
    if name in ("-h", "--help"):
        print(_usage())
        return 0
    if name not in COMMANDS:
        print_lines(f"bloodtune: {unknown_name('command', name, COMMANDS)}")
        return 2
    sys.argv = [sys.argv[0], *rest]  # recorded in provenance.json as the arguments of the search
    # As with `python -m`, user-defined networks are found in the current folder. It comes last to hide no package.
    with contextlib.suppress(OSError):  # it was deleted, which the subcommand says
        sys.path.append(os.getcwd())
    module, _ = COMMANDS[name]
    if name == "summarize":
        sys.path.insert(0, str(analysis_folder()))  # its modules import one another as top-level modules
    code: int = importlib.import_module(module).main(rest)
    return code


def analysis_folder() -> Path:
    """Return the folder with ``summarize.py``: inside an installed package, beside the package in a checkout."""
    package = Path(__file__).resolve().parent
    installed = package / "analysis"
    return installed if installed.is_dir() else package.parent / "analysis"


def command() -> NoReturn:
    """Run the console command and exit."""
    leave(main())


def _usage() -> str:
    rows = [f"  {name:<11}{text}" for name, (_, text) in COMMANDS.items()]
    return "\n".join(["usage: bloodtune COMMAND ...", "", *rows, "", "See bloodtune COMMAND --help for its options."])


if __name__ == "__main__":
    command()
