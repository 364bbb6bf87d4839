"""The console command: its subcommands, and names that are none."""

import subprocess
import sys
from pathlib import Path

import pytest

from bloodtune.__main__ import COMMANDS, analysis_folder, main


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"]])
def test_help_names_each_command(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 0
    out = capsys.readouterr().out
    assert out.startswith("usage: bloodtune COMMAND")
    assert all(
        f"\n  {name} " in out for name in ("search", "summarize", "data", "predict", "evaluate", "adapt", "serve")
    )
    assert len(COMMANDS) == 7


def test_an_unknown_command_is_one_line_and_exit_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serach"]) == 2
    assert capsys.readouterr().err == "bloodtune: unknown command 'serach'; did you mean 'search'?\n"


def test_the_summary_of_a_checkout_stands_beside_the_package() -> None:
    assert analysis_folder() == Path(__file__).parents[1] / "analysis"


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_of_a_checkout_prints_its_help(name: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "bloodtune", name, "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "usage: " in done.stdout
