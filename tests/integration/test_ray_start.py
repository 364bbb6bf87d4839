"""A Ray that is started here: closed to others, with the processes and the warm workers that a search needs."""

from __future__ import annotations

import contextlib
import gc
import ipaddress
import os
import subprocess
import sys
import time
from typing import Any

import psutil
import ray
from ray.tune.execution.class_cache import _ActorClassCache
from ray.util.placement_group import placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from bloodtune.tuning.ray_cluster import LOCAL, connect
from bloodtune.tuning.ray_patches import TUNE, applied


class Witness:
    """An actor that tells of its process as it found it."""

    def __init__(self) -> None:
        self.modules = set(sys.modules)

    def tell(self) -> dict[str, Any]:
        import torch

        return {
            "pid": os.getpid(),
            "has_torch": "torch" in self.modules,
            "has_worker": "bloodtune.tuning.worker" in self.modules,
            "threads": torch.get_num_threads(),
            "collects": gc.isenabled(),
        }


def processes() -> dict[int, str]:
    found = {}
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            found[child.pid] = " ".join(child.cmdline())
    return found


def test_a_trial_gets_a_worker_that_waits_with_torch_and_nothing_runs_that_is_of_no_use() -> None:
    with connect(LOCAL, workers=1, image_bytes=1), applied(TUNE):
        started = processes()
        time.sleep(1.2)  # from then on the worker is ended if it is one too many, by Ray's own measure
        group = placement_group([{"CPU": 1}])  # as Tune claims a trial's CPU
        ray.get(group.ready())
        time.sleep(0.6)
        actor = _ActorClassCache().get(Witness)  # as Tune makes a trial's actor
        place = PlacementGroupSchedulingStrategy(group)
        told = ray.get(actor.options(num_cpus=1, scheduling_strategy=place).remote().tell.remote())
    assert told.pop("pid") in started
    assert told == {"has_torch": True, "has_worker": True, "threads": 1, "collects": True}
    commands = " ".join(started.values())
    assert "raylet" in commands
    for unused in ("dashboard/dashboard.py", "autoscaler/_private/monitor.py", "log_monitor.py"):
        assert unused not in commands


# Asks Ray's server at an address for the hosts of its cluster.
STRANGER = """
import sys
from ray._raylet import GcsClient
print(len(GcsClient(address=sys.argv[1]).get_all_node_info()))
"""


def ask(address: str, **environment: str) -> subprocess.CompletedProcess[str]:
    others = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    command = [sys.executable, "-c", STRANGER, address]
    return subprocess.run(command, env=others | environment, capture_output=True, text=True, timeout=60)


def test_nobody_else_reaches_ray() -> None:
    with connect(LOCAL, workers=1, image_bytes=1):
        me = psutil.Process()
        found = [one for process in (me, *me.children(recursive=True)) for one in process.net_connections()]
        listening = [ipaddress.ip_address(one.laddr.ip) for one in found if one.status == psutil.CONN_LISTEN]
        address, token = ray.get_runtime_context().gcs_address, os.environ["RAY_AUTH_TOKEN"]
        member = ask(address, RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=token)
        strangers = [
            ask(address, RAY_AUTH_MODE="token", RAY_AUTH_TOKEN="0" * 64),
            ask(address, RAY_AUTH_MODE="disabled"),
        ]
    assert len(listening) >= 4, "driver, worker, raylet and server"
    assert {str(getattr(one, "ipv4_mapped", None) or one) for one in listening} == {"127.0.0.1"}
    assert (member.returncode, member.stdout) == (0, "1\n"), member.stderr
    for stranger in strangers:
        assert stranger.returncode != 0
        assert "AuthenticationError" in stranger.stderr
