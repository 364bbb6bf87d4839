"""A search, a worker's death and a resume on a Ray without any of our patches."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

import psutil
import pytest

from bloodtune.run.directory import RunDirectory
from bloodtune.tuning.ray_patches import PLAIN_RAY
from command_fixtures import fill, run_command, start


def workers_of(driver: int) -> list[psutil.Process]:
    found = []
    for child in psutil.Process(driver).children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if "Trainable" in " ".join(child.cmdline()) or "WarmWorker" in " ".join(child.cmdline()):
                found.append(child)
    return found


def test_plain_ray_searches_survives_a_workers_death_and_resumes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(PLAIN_RAY, "1")
    folder = fill(tmp_path)
    flags = "--budget 5 --workers 1 --max-epochs 60 --checkpoint-every 1s"
    process = start(folder, f"--recipe random.toml --data tiny0.npz --name plain {flags}")
    curves, deadline = folder / "runs" / "plain" / "curves.csv", time.monotonic() + 100
    while not (curves.exists() and curves.read_text().count("\n") > 20) and time.monotonic() < deadline:
        time.sleep(0.05)
    victims = workers_of(process.pid)
    assert victims, "a worker trains"
    for victim in victims:
        victim.kill()
    _, err = process.communicate(timeout=200)
    assert process.returncode == 0, err
    run = RunDirectory.open(folder / "runs" / "plain")
    assert sorted(record.trial for record in run.trials()) == list(range(5))
    assert sum(record.retries for record in run.trials()) == 1
    code, _, err = run_command(folder, "--resume plain --budget 6")
    assert code == 0, err
    assert sorted(record.trial for record in run.trials()) == list(range(6))
    assert not run.curves().duplicated(["trial", "epoch"]).any()
