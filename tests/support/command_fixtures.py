"""The command lines run as a user does: in a folder with tiny data and recipes, in processes of their own."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from run_fixtures import write_data, write_recipe

ROOT = Path(__file__).resolve().parents[2]
SEARCH = ("-m", "bloodtune.search")
SUMMARIZE = (str(ROOT / "analysis" / "summarize.py"),)


Run = Callable[..., tuple[int, str, str]]


def with_model(main: Callable[[list[str]], int], default: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Return a command that takes ``--model`` as a function of its arguments: exit code, and what it printed."""

    def run(*arguments: object, model: Path = default) -> tuple[int, str, str]:
        try:
            code = main([*map(str, arguments), "--model", str(model)])
        except SystemExit as error:
            code = int(str(error.code))
        return code, *capsys.readouterr()

    return run


def start(folder: Path, arguments: str, program: tuple[str, ...] = SEARCH) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, *program, *shlex.split(arguments)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "80"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def run_command(folder: Path, arguments: str, program: tuple[str, ...] = SEARCH) -> tuple[int, str, str]:
    process = start(folder, arguments, program)
    out, err = process.communicate(timeout=240)
    return process.returncode, out, err


def fill(folder: Path) -> Path:
    """Write two small data sets and two recipes."""
    write_data(folder)
    write_data(folder, seed=1)
    write_recipe(folder)
    write_recipe(folder, sampler="random")
    return folder


def finish_search(folder: Path) -> str:
    """Run a search named ``one`` to its end; return what it said."""
    code, out, err = run_command(
        folder, "--recipe tpe.toml --data tiny0.npz --budget 8 --workers 1 --seed 3 --name one"
    )
    assert code == 0, err
    assert out == ""
    return err
