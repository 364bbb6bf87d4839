"""deploy/slurm.sh on one node, with stand-ins of Slurm's own commands."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bloodtune.run.directory import RunDirectory
from fault_fixtures import write_inputs
from slurm_fixtures import lent, slurm_commands

pytestmark = pytest.mark.cluster

ROOT = Path(__file__).resolve().parents[2]


def test_a_search_on_nodes_that_slurm_lends(tmp_path: Path) -> None:
    address = subprocess.run(["hostname", "-I"], capture_output=True, text=True, check=True).stdout.split()[0]
    programs = slurm_commands(tmp_path / "programs", address)
    home = tmp_path / "home"
    home.mkdir()
    (home / ".venv").symlink_to(sys.prefix)
    write_inputs(home, images=200, epochs=3)
    search = "--recipe faults.toml --data data.npz --name lent --budget 4"
    job = subprocess.Popen(
        ["bash", str(ROOT / "deploy" / "slurm.sh"), *search.split()],
        env={
            **os.environ,
            **lent(home),
            "PATH": f"{programs}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        assert job.stdout is not None
        said = ""
        for line in job.stdout:
            said += line
            if line.startswith("next: "):
                break
        assert job.wait(timeout=60) == 0, said
        assert len(RunDirectory.open(home / "runs" / "lent").trials()) == 4
    finally:
        os.killpg(job.pid, signal.SIGKILL)  # what Slurm does with the steps of a job that has ended
        job.wait()
