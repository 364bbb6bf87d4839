"""macOS, Windows, and terminals that are not UTF-8: what runs there, and what says in one line that it does not."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path, PureWindowsPath
from typing import Any

import pytest

from bloodtune import evaluate, predict, search, serve
from bloodtune.command_line import OneLineParser
from bloodtune.data import __main__ as data
from bloodtune.data.parallel_map import usable_cpus
from bloodtune.errors import InputError
from bloodtune.inference.predictor import _name
from bloodtune.tuning.ray_cluster import connect
from model_fixtures import make_model, photograph
from summary_fixtures import fake_run

ROOT = Path(__file__).parents[1]
STAND_IN = ROOT / "tests" / "support" / "other_system.py"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder with a model, and photographs with names that few terminals have, in folders of two classes."""
    folder = tmp_path_factory.mktemp("systems")
    make_model(folder / "model", threshold=0.99)
    for seed, name in enumerate(("Zelle ü.jpg", "细胞.jpg", "cell –.jpg", "µ.jpg") * 2):
        photograph(folder / "cells" / ("neutrophil", "lymphocyte")[seed // 4] / name, seed)
    (folder / "cells" / "neutrophil" / "no picture ×.jpg").write_text("hello")
    fake_run(folder / "runs" / "Lauf_ü")
    return folder


def commands(folder: Path) -> dict[str, tuple[Any, list[str]]]:
    cells, model = str(folder / "cells"), ["--model", str(folder / "model")]
    return {
        "predict": (predict, [cells, *model, "--html", str(folder / "ü.html"), "--csv", str(folder / "count.csv")]),
        "evaluate": (evaluate, [cells, *model, "--json", str(folder / "scores.json")]),
        "data": (data, [cells, "--skip-unreadable"]),
        "list": (search, ["--list", "--out", str(folder / "runs")]),
        **{f"{module.__name__} --help": (module, ["--help"]) for module in (search, predict, evaluate, serve, data)},
        "a wrong flag": (predict, ["--细胞"]),
        "a name that is not there": (predict, ["细胞 ü.jpg", *model]),
    }


def test_commands_run_without_the_names_that_other_systems_lack(folder: Path) -> None:
    jobs: list[Sequence[str]] = [[module.__name__, *argv] for module, argv in list(commands(folder).values())[:4]]
    jobs += [["serve", str(folder / "model")], ["draw", str(folder / "report")]]
    paths = [str(ROOT), str(ROOT / "analysis"), str(ROOT / "tests" / "support")]
    done = subprocess.run(
        [sys.executable, str(STAND_IN), json.dumps(jobs)],
        env=os.environ | {"PYTHONIOENCODING": "cp1252", "PYTHONPATH": os.pathsep.join(paths), "COLUMNS": "100"},
        capture_output=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr.decode("cp1252")
    assert b"Zelle \xfc.jpg" in done.stdout and b"\\u7ec6\\u80de.jpg" in done.stdout
    assert (folder / "report" / "report.html").exists() and (folder / "ü.html").exists()


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "cp437", "latin-1"])
def test_no_terminal_ends_a_command(folder: Path, encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, (module, argv) in commands(folder).items():
        out, err = (io.TextIOWrapper(io.BytesIO(), encoding) for _ in range(2))
        monkeypatch.setattr(sys, "stdout", out)
        monkeypatch.setattr(sys, "stderr", err)
        code = exit_code(module.main, argv)
        out.flush(), err.flush()
        said = [stream.buffer.getvalue().decode(encoding) for stream in (out, err)]  # type: ignore[attr-defined]
        assert code == (2 if name.startswith("a ") else 0), (name, said)
        assert "Traceback" not in said[1] and len(said[1].splitlines()) < 4
        if name == "a name that is not there":
            assert "\\u7ec6\\u80de" in said[1]


def exit_code(main: Callable[[list[str]], int], argv: list[str]) -> int:
    try:
        return main(argv)
    except SystemExit as error:
        return int(str(error.code))


def test_what_a_table_shows_keeps_its_width_on_any_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.TextIOWrapper(io.BytesIO(), "ascii")
    monkeypatch.setattr(sys, "stdout", stream)
    OneLineParser(prog="count", description="")
    print("▁▃█ · 1.2–3.4 µm 28 × 28, 0.9 ± 0.1 细", end="", flush=True)
    assert stream.buffer.getvalue() == b"138 . 1.2-3.4 um 28 x 28, 0.9 + 0.1 \\u7ec6"  # type: ignore[attr-defined]


def test_all_cpus_are_used_where_there_is_no_affinity(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: 3)
    assert usable_cpus() == {0, 1, 2}


def test_names_of_files_have_slashes_on_windows() -> None:
    assert _name(PureWindowsPath("cells\\a\\b.jpg")) == "cells/a/b.jpg"  # type: ignore[arg-type]


def test_a_search_says_that_it_does_not_run_on_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    with pytest.raises(InputError, match="on Windows, use WSL"), connect("local", workers=1, image_bytes=0):
        pass
