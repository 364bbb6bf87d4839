"""A Ray that is started here: the processes that a search needs, and workers that have torch before they are asked."""

from __future__ import annotations

import gc
import os
import sys
import time
from typing import Any

import psutil
import pytest
import ray

from bloodtune.cluster import LOCAL, connect
from bloodtune.quick_start import _once_registered


class Witness:
    """An actor that tells of its process as it found it."""

    def __init__(self) -> None:
        self.modules = set(sys.modules)

    def tell(self) -> dict[str, Any]:
        import torch

        return {
            "pid": os.getpid(),
            "has_torch": "torch" in self.modules,
            "has_worker": "bloodtune.trainable" in self.modules,
            "threads": torch.get_num_threads(),
            "collects": gc.isenabled(),
        }


def test_a_worker_waits_with_torch_and_nothing_runs_that_is_of_no_use() -> None:
    with connect(LOCAL, workers=1, image_bytes=1):
        children = psutil.Process().children(recursive=True)
        commands = {child.pid: " ".join(child.cmdline()) for child in children}
        time.sleep(1.5)  # Ray by itself would end a worker that waited for a second
        told = ray.get(ray.remote(num_cpus=1)(Witness).remote().tell.remote())
    assert told.pop("pid") in commands, "it was there before it was asked for"
    assert told == {"has_torch": True, "has_worker": True, "threads": 1, "collects": True}
    started = " ".join(commands.values())
    assert "raylet" in started
    for unused in ("dashboard/dashboard.py", "autoscaler/_private/monitor.py", "log_monitor.py"):
        assert unused not in started


def test_a_host_is_asked_for_once_it_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = [{}, {}, {"host": "info"}]

    class Client:
        def __init__(self, address: str) -> None:
            assert address == "gcs"

        def get_all_node_info(self) -> dict[str, str]:
            return answers.pop(0)

    monkeypatch.setattr("bloodtune.quick_start.GcsClient", Client)
    get = _once_registered(lambda address, host: (address, host, list(answers)))
    assert get("gcs", "host") == ("gcs", "host", [])
