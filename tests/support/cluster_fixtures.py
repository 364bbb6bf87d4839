"""A real cluster on test hosts, made by `ray up` with deploy/on-prem.yaml, and a search on it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from bloodtune.run.directory import RunDirectory
from fault_fixtures import QUICKEST, Search
from host_fixtures import Hosts

ROOT = Path(__file__).resolve().parents[2]
HEAD, WORKER, SPARE = 1, 2, 3


class Cluster:
    """A head without CPUs for trials, and workers with one each."""

    def __init__(self, hosts: Hosts) -> None:
        self.hosts = hosts
        self.file = hosts.folder / "on-prem.yaml"

    def up(self) -> None:
        """Run `ray up` on deploy/on-prem.yaml, with these hosts and this installation in place of its own."""
        config: dict[str, Any] = yaml.safe_load((ROOT / "deploy" / "on-prem.yaml").read_text(encoding="utf-8"))
        config["provider"] |= {
            "head_ip": self.hosts.address(HEAD),
            "worker_ips": [self.hosts.address(WORKER)],
        }
        config |= {"max_workers": 1, "min_workers": 1}
        config["auth"] = {"ssh_user": "root", "ssh_private_key": str(self.hosts.key)}
        config["setup_commands"] = [f"ln -sfn {sys.prefix} ~/env", config["setup_commands"][-1]]
        for commands, cpus in (("head_start_ray_commands", 0), ("worker_start_ray_commands", 1)):
            config[commands] = [line.replace("ray start", f"ray start --num-cpus={cpus}") for line in config[commands]]
        self.file.write_text(yaml.safe_dump(config))
        command = [sys.executable, "-m", "ray.scripts.scripts", "up", "-y", "--no-config-cache", str(self.file)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stdout + done.stderr

    def add(self, number: int) -> None:
        """Start Ray on a host that `ray up` does not know."""
        self.hosts.run(number, f"mkdir -p ~/.ray && ln -sfn {sys.prefix} ~/env")
        token = self.hosts.run(HEAD, "cat ~/.ray/auth_token").stdout.strip()
        join = f"~/env/bin/ray start --num-cpus=1 --address={self.hosts.address(HEAD)}:6379"
        done = self.hosts.run(number, f"echo {token} > ~/.ray/auth_token && RAY_AUTH_MODE=token {join}")
        assert done.returncode == 0, done.stdout + done.stderr

    def trains(self, number: int) -> bool:
        """Return whether a trial trains on a host."""
        return "ray::ResourceTrainable.train" in self.hosts.run(number, "ps -eo args").stdout


class ClusterSearch(Search):
    """A search that is started on the head."""

    def __init__(self, cluster: Cluster, inputs: Path) -> None:
        super().__init__(inputs, flags="--workers 2 --checkpoint-every 1s")
        home = cluster.hosts.folder / f"host{HEAD}" / "home" / "bloodtune"
        self.run = RunDirectory(home / "runs" / "broken")
        self._cluster = cluster

    def begin(self) -> None:
        """Start it on the head, or resume it there."""
        place = f"cp {self.folder}/data.npz {self.folder}/faults.toml ~/bloodtune/; cd ~/bloodtune"
        command = f"{place} && RAY_AUTH_MODE=token ~/env/bin/python -m bloodtune.search {self.arguments()}"
        self.process = subprocess.Popen(
            self._cluster.hosts.command(HEAD, command),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def summarize(self) -> None:
        """Write the summary on the head, whose workers train for it."""
        command = f"cd ~/bloodtune && RAY_AUTH_MODE=token ~/env/bin/python analysis/summarize.py runs/broken {QUICKEST}"
        done = self._cluster.hosts.run(HEAD, command)
        assert done.returncode == 0, done.stderr
