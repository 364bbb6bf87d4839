"""The example of the documentation, run as it stands."""

from __future__ import annotations

from pathlib import Path

import pytest

from command_fixtures import ROOT, run_command


def test_the_example_runs_from_search_to_count(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BLOODTUNE_DATA", str(folder / "tiny0.npz"))
    monkeypatch.setenv("MPLBACKEND", "agg")
    code, out, err = run_command(folder, "", (str(ROOT / "docs" / "example.py"),))
    assert code == 0, err
    assert "TrialRecord(trial=" in out
    assert (folder / "curves.png").stat().st_size > 0
    counted = [line for line in out.splitlines() if line.startswith("cells/")]
    assert [line.split()[0] for line in counted] == [f"cells/{row:02}.png" for row in range(12)]
