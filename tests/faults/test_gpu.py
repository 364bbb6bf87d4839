"""A GPU that Ray counts and that cannot be used: search and summary run on CPUs and say so."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from bloodtune.run.directory import RunDirectory
from command_fixtures import ROOT, fill

pytestmark = [
    pytest.mark.faults,
    pytest.mark.skipif(torch.cuda.is_available(), reason="this GPU can be used"),
]

PROGRAM = """
import sys
import ray
ray.init(address="local", num_cpus=2, num_gpus=1, log_to_driver=False, logging_level="ERROR")

from bloodtune import run_search
from bloodtune.errors import InputError
import summarize

options = {"budget": 2, "workers": 1, "max_epochs": 1, "recipe": "tpe.toml", "data": "tiny0.npz"}
run_search(name="one", **options)
try:
    run_search(name="two", gpus_per_trial=1.0, **options)
except InputError as error:
    print("refused:", error, file=sys.stderr)
for more in (["--seeds", "1"], ["--gpus-per-training", "0.5", "--seeds", "2"]):
    assert summarize.main(["runs/one", "--only-best", "--epochs", "1", "--longer", "1", *more]) == 0
"""


def test_a_gpu_that_cannot_be_used_costs_speed_alone(tmp_path: Path) -> None:
    paths = os.pathsep.join([str(ROOT), str(ROOT / "analysis")])
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        cwd=fill(tmp_path),
        env=os.environ | {"PYTHONPATH": paths},
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    lines = done.stderr.splitlines()
    why = "the GPU cannot be used: "
    said = [line for line in lines if line.startswith(why)]
    assert len(said) == 1 and said[0].endswith("; trials train on CPUs, unless --gpus-per-trial 1 insists on it")
    (refused,) = (line for line in lines if line.startswith("refused:"))
    assert refused.startswith(f"refused: --gpus-per-trial 1: {why}") and refused.endswith("; 0 trains on CPUs")
    assert "retrainings run on CPUs, as the search's trials did; --gpus-per-training 1 uses the GPU" in lines
    failed = [line for line in lines if line.startswith("a retraining failed on the GPU (")]
    assert len(failed) == 1 and failed[0].endswith(") and ran on a CPU")
    run = RunDirectory.open(tmp_path / "runs" / "one")
    assert len(run.trials()) == 2
    assert run.read_json("provenance.json")["gpus_per_trial"] == 0
    assert not (tmp_path / "runs" / "two").exists()
