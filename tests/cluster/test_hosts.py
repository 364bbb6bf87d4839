"""Hosts that come and go while a search runs on a real cluster."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from bloodtune.run.directory import RunDirectory
from cluster_fixtures import HEAD, SPARE, WORKER, Cluster, ClusterSearch
from fault_fixtures import GetRow, write_inputs
from machine_needs import HOSTS

pytestmark = pytest.mark.cluster
MACHINE_NEEDS = HOSTS

PAGE = Path(__file__).resolve().parents[2] / "docs" / "cluster.md"


def start_line(beginning: str, cluster: Cluster, flags: str = "", **options: Any) -> subprocess.Popen[str]:
    """Start the line of docs/cluster.md that begins like that, on this cluster."""
    written = [line.strip() for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("    ")]
    line = next(line for line in written if line.startswith(beginning)).replace("cluster.yaml", str(cluster.file))
    line = line.partition("#")[0] + flags
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    return subprocess.Popen(
        line, shell=True, text=True, start_new_session=True, env={**os.environ, "PATH": path}, **pipes, **options
    )


def run_line(beginning: str, cluster: Cluster, typed: str = "", **options: Any) -> str:
    """Run such a line to its end; return what it printed."""
    process = start_line(beginning, cluster, **options)
    said, _ = process.communicate(typed, timeout=120)
    assert process.returncode == 0, said
    return said


def answers(port: int) -> bool:
    """Return whether something on this machine speaks HTTP at a port."""
    try:
        urllib.request.urlopen(f"http://127.0.0.1:{port}", timeout=5).close()
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
    return True


def test_hosts_that_come_are_cut_off_and_die(cluster: Cluster, search: ClusterSearch, row: GetRow) -> None:
    search.budget = 90
    search.begin()
    search.wait_for(lambda: search.trials() > 0)

    added = row("host added to a cluster while a search runs")
    cluster.add(SPARE)
    added.seconds.append(search.wait_for(lambda: cluster.trains(SPARE), extend=True))
    added.times += 1
    assert added.seconds[-1] < 30

    cut = row("host cut off the network for a minute")
    cluster.hosts.cut(WORKER)
    seen, began = search.trials(), time.monotonic()
    search.wait_for(lambda: search.trials() > seen + 2, extend=True)
    search.wait_for(lambda: time.monotonic() > began + 60, extend=True)
    cluster.hosts.join(WORKER)
    cut.seconds.append(search.wait_for(lambda: cluster.trains(WORKER), extend=True))
    cut.times += 1

    killed = row("host killed")
    cluster.hosts.kill(WORKER)
    cluster.hosts.boot(WORKER)
    killed.seconds.append(search.wait_for(lambda: cluster.trains(WORKER), extend=True))
    killed.times += 1

    assert search.end() == 0, search.said
    search.check(killed)


def test_head_killed_and_the_cluster_brought_up_again(cluster: Cluster, search: ClusterSearch, row: GetRow) -> None:
    killed = row("head killed, cluster brought up again, then --resume")
    search.begin()
    search.wait_for(lambda: search.trials() > 4)
    cluster.hosts.kill(HEAD)
    search.end()
    killed.times += 1
    began = time.monotonic()
    cluster.hosts.boot(HEAD)
    cluster.up()
    seen = search.trials()
    search.begin()
    search.wait_for(lambda: search.trials() > seen)
    killed.seconds.append(time.monotonic() - began)
    assert search.end() == 0, search.said
    search.check(killed)


def test_the_commands_of_the_page(cluster: Cluster, tmp_path: Path) -> None:
    folder = write_inputs(cluster.hosts.folder, images=200, epochs=3)
    flags = f"--recipe {folder}/faults.toml --data {folder}/data.npz --budget 4 --workers 1 --name big"
    typed = f"python -m bloodtune.search {flags} --storage ~/kept\nexit\n"
    said = run_line("ray attach", cluster, typed=typed)
    assert "4/4 trials" in said
    trials = run_line("ray exec", cluster)
    (tmp_path / "runs").mkdir()
    run_line("ray rsync-down", cluster, cwd=tmp_path)
    fetched = RunDirectory.open(tmp_path / "runs" / "big")
    assert len(fetched.trials()) == 4
    assert (fetched.path / "trials.csv").read_text().splitlines()[-1] in trials
    kept = cluster.hosts.run(HEAD, "cat ~/kept/big/trials.csv").stdout
    assert kept == (fetched.path / "trials.csv").read_text()
    dashboard = start_line("ray dashboard", cluster)
    deadline = time.monotonic() + 30
    while not answers(8265):
        assert time.monotonic() < deadline
        time.sleep(0.5)
    os.killpg(dashboard.pid, signal.SIGTERM)
    dashboard.communicate()
    run_line("ray down", cluster, flags="--yes")
    # A worker's Ray ends when it has not heard from the head for a minute.
    for number, seconds in {HEAD: 0, WORKER: 90}.items():
        deadline = time.monotonic() + seconds
        while "raylet" in cluster.hosts.run(number, "ps -eo args").stdout:
            assert time.monotonic() < deadline, number
            time.sleep(1.0)
