"""CPUs that share a core, and the number of workers that follows."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import pytest

from bloodtune.tuning.precision_choice import decide_threads, one_per_family, shared_cores
from engine_fixtures import make_configuration


def write_siblings(folder: Path, lists: dict[int, str]) -> Path:
    for cpu, text in lists.items():
        topology = folder / f"cpu{cpu}" / "topology"
        topology.mkdir(parents=True)
        (topology / "thread_siblings_list").write_text(text + "\n")
    return folder


@pytest.fixture
def allowed(monkeypatch: pytest.MonkeyPatch) -> set[int]:
    cpus = {0, 1, 2, 3}
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: cpus, raising=False)
    return cpus


@pytest.mark.usefixtures("allowed")
def test_cpus_that_share_a_core_are_found(tmp_path: Path) -> None:
    folder = write_siblings(tmp_path, {0: "0,2", 1: "1,3", 2: "0,2", 3: "1,3"})
    assert shared_cores(folder) == [[0, 2], [1, 3]]


def test_cpus_that_this_process_may_not_use_do_not_count(tmp_path: Path, allowed: set[int]) -> None:
    folder = write_siblings(tmp_path, {0: "0,2", 1: "1,3", 2: "0,2", 3: "1,3"})
    allowed.remove(2)
    assert shared_cores(folder) == [[1, 3]]


@pytest.mark.usefixtures("allowed")
def test_without_shared_cores_or_without_linux_there_is_nothing_to_choose(tmp_path: Path) -> None:
    assert shared_cores(tmp_path / "none") == []
    assert shared_cores(write_siblings(tmp_path, {n: str(n) for n in range(4)})) == []


@pytest.mark.parametrize(("gain", "workers", "kind"), [(1.3, 8, "thread"), (1.05, 8, "thread"), (1.04, 4, "core")])
def test_threads_get_workers_only_if_they_gain(gain: float, workers: int, kind: str) -> None:
    found, reason = decide_threads(8, 4, gain)
    assert found == workers
    assert reason == f"one per {kind}: two threads of a core train {gain:.2f} times as much as one"


def test_one_configuration_of_each_family_is_timed_and_mlnns_last() -> None:
    mlnn, cnn, wider = make_configuration("mlnn"), make_configuration("cnn"), make_configuration("cnn", width=16)
    assert one_per_family([mlnn, cnn, wider]) == [cnn, mlnn]


def test_a_large_network_is_timed_at_smaller_sizes() -> None:
    mlnn = make_configuration("mlnn", hidden_layers=8, hidden_size=8192)
    assert one_per_family([mlnn]) == [dataclasses.replace(mlnn, hidden_layers=2, hidden_size=2048)]
    own = make_configuration("own_networks:build", width=512)
    assert one_per_family([own]) == [own], "its function may allow a few sizes only"
