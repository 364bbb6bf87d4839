"""The command that makes the pretrained model trains seeds, keeps them, and goes on from those that it has."""

from __future__ import annotations

import json
from pathlib import Path

from command_fixtures import ROOT, run_command
from run_fixtures import write_data, write_recipe


def test_seeds_are_trained_once_and_the_best_becomes_the_model(tmp_path: Path) -> None:
    write_data(tmp_path)
    write_recipe(tmp_path)
    program, flags = (str(ROOT / "analysis" / "pretrained.py"),), "--data tiny0.npz --recipe tpe.toml --epochs 1"
    code, _, err = run_command(tmp_path, f"{flags} --seeds 1 --out one", program)
    assert code == 0, err
    kept = {file: file.stat().st_mtime_ns for file in (tmp_path / "results").rglob("result.json")}
    code, _, err = run_command(tmp_path, f"{flags} --seeds 2 --out two", program)
    assert code == 0, err
    trained = set((tmp_path / "results").rglob("result.json"))
    assert (len(kept), len(trained)) == (1, 2)
    assert all(file.stat().st_mtime_ns == changed for file, changed in kept.items())
    assert len(json.loads((tmp_path / "two" / "model.json").read_text())["networks"]) == 2
