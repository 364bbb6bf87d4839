"""A Ray that is started here: the processes that a search needs, and workers that have torch before they are asked."""

from __future__ import annotations

import contextlib
import gc
import os
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
