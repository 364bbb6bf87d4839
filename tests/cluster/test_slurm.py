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

pytestmark = pytest.mark.cluster

ROOT = Path(__file__).resolve().parents[2]
SRUN = """#!/usr/bin/env bash
while [[ $1 == -* ]]; do [[ $1 == -w ]] && shift; shift; done
exec "$@"
"""


def test_a_search_on_nodes_that_slurm_lends(tmp_path: Path) -> None:
    programs = tmp_path / "programs"
    programs.mkdir()
    for name, text in {"srun": SRUN, "scontrol": "#!/bin/sh\necho node1\n"}.items():
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    home = tmp_path / "home"
    home.mkdir()
    (home / ".venv").symlink_to(sys.prefix)
    write_inputs(home, images=200, epochs=3)
    lent = {
        "JOB_ID": "17",
        "JOB_NODELIST": "node1",
        "JOB_NUM_NODES": "1",
        "CPUS_PER_TASK": "2",
        "SUBMIT_DIR": str(home),
    }
    search = "--recipe faults.toml --data data.npz --name lent --budget 4"
    job = subprocess.Popen(
        ["bash", str(ROOT / "deploy" / "slurm.sh"), *search.split()],
        env={
            **os.environ,
            **{f"SLURM_{name}": value for name, value in lent.items()},
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
