"""deploy/slurm.sh with stand-ins of Slurm, Ray and the search: CPUs, address, signals, and the job put back."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bloodtune.tuning.search_data import DATA_OPTIONS
from slurm_fixtures import lent, slurm_commands

SCRIPT = Path(__file__).parents[2] / "deploy" / "slurm.sh"
# Writes what it got; a search stops at SIGTERM with the code of an interrupted one.
STAND_IN = f"""#!{sys.executable}
import os, signal, sys, time
from pathlib import Path

name = Path(sys.argv[0]).name
if name == "ray" or "-m" in sys.argv:
    Path(name).write_text("\\n".join([*sys.argv[1:], f"cpus={{len(os.sched_getaffinity(0))}}"]))
if "-m" in sys.argv:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(130))
    Path("started").touch()
    time.sleep(float(os.environ.get("SEARCH_SECONDS", 0)))
"""


def start(home: Path, *arguments: str, **variables: str) -> subprocess.Popen[str]:
    programs = home / ".venv" / "bin"
    if not programs.exists():
        programs.mkdir(parents=True)
        for name in ("ray", "python"):
            (programs / name).write_text(STAND_IN)
            (programs / name).chmod(0o755)
        slurm_commands(home / "slurm", "192.0.2.7")
    path = f"{home / 'slurm'}:{os.environ['PATH']}"
    environment = os.environ | lent(home) | {"PATH": path} | variables
    return subprocess.Popen(
        ["bash", str(SCRIPT), *arguments],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def words(home: Path, program: str) -> list[str]:
    return (home / program).read_text().splitlines()


def test_a_step_has_the_cpus_of_its_job_and_an_address_that_other_nodes_reach(tmp_path: Path) -> None:
    cpus = min(2, len(os.sched_getaffinity(0)))
    job = start(tmp_path, "--budget", "8")
    said, _ = job.communicate(timeout=60)
    assert (job.returncode, said) == (0, "")
    head, search = words(tmp_path, "ray"), words(tmp_path, "python")
    assert "--node-ip-address=192.0.2.7" in head and f"cpus={cpus}" in head
    assert search[2:-1] == ["--address", "192.0.2.7:20017", "--budget", "8", "--name", "slurm-17"]


def test_a_node_without_an_ipv4_address_is_one_line(tmp_path: Path) -> None:
    start(tmp_path).wait(timeout=60)
    (tmp_path / "slurm" / "hostname").write_text("#!/bin/sh\necho 2001:db8::17 127.0.1.1\n")
    job = start(tmp_path)
    assert job.communicate(timeout=60)[0] == "slurm.sh: node node1 has no IPv4 address but its own loopback\n"
    assert job.returncode == 2


@pytest.mark.parametrize(
    ("number", "arguments", "said"),
    [
        (signal.SIGUSR1, ["--name", "night"], "requeued 17\n"),
        (signal.SIGUSR1, ["--resume", "latest"], "slurm.sh: not requeued, because latest may be another run"),
        (signal.SIGTERM, ["--name", "night"], ""),
    ],
)
def test_the_time_limit_puts_a_job_back_and_scancel_does_not(
    tmp_path: Path, number: signal.Signals, arguments: list[str], said: str
) -> None:
    job = start(tmp_path, *arguments, SEARCH_SECONDS="60")
    while not (tmp_path / "started").exists():
        assert job.poll() is None
        time.sleep(0.05)
    job.send_signal(number)
    out, _ = job.communicate(timeout=30)
    assert job.returncode == 130
    assert out.startswith(said) and bool(out) == bool(said)


def test_a_search_that_ends_at_the_time_limit_is_not_put_back(tmp_path: Path) -> None:
    job = start(tmp_path, "--name", "night", SEARCH_SECONDS="0.5")
    out, _ = job.communicate(timeout=30)
    assert (job.returncode, out) == (0, "")


def test_a_job_that_was_put_back_resumes_its_run_without_the_flags_that_the_run_keeps(tmp_path: Path) -> None:
    run = tmp_path / "all runs" / "slurm-17"
    run.mkdir(parents=True)
    given = ["--recipe", "r.toml", "--data=a b.npz", "--out", "all runs", "--track=mlflow", "--budget", "9"]
    kept = ["--data", "a b.npz", "--out", "all runs", "--track", "mlflow", "--budget", "9"]
    for name in DATA_OPTIONS:
        flag = f"--{name.replace('_', '-')}"
        given += [flag] if name in ("skip_unreadable", "drop_copies") else [flag, "3"]
    started = words_of(tmp_path, given)
    assert started == [*given, "--name", "slurm-17"]
    assert words_of(tmp_path, given, SLURM_RESTART_COUNT="1") == started  # it never got as far as a run
    (run / "provenance.json").touch()
    assert words_of(tmp_path, given, SLURM_RESTART_COUNT="1") == ["--resume", "slurm-17", *kept]


def words_of(home: Path, given: list[str], **variables: str) -> list[str]:
    job = start(home, *given, **variables)
    said, _ = job.communicate(timeout=60)
    assert job.returncode == 0, said
    return words(home, "python")[4:-1]
