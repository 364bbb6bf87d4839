"""Timings by workers that wait: who times what, and when the driver gives up."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from bloodtune.space.configuration import Configuration
from bloodtune.training.numerics import StepTimes
from bloodtune.tuning import host_timing
from bloodtune.tuning.host_timing import FOLDER, WaitingWorkers
from engine_fixtures import make_configuration, make_split

PARTS = [[make_configuration("cnn")], [make_configuration("mlnn")]]


@pytest.fixture
def timed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Play the timing. Lists the families that were timed."""
    families: list[str] = []

    def measure(
        train: Any, val: Any, configurations: Sequence[Configuration], device: str, asked: str
    ) -> tuple[str, StepTimes]:
        families.extend(one.family for one in configurations)
        return f"a chip asked for {asked} on {device}", {one.family: {"float32": 0.5} for one in configurations}

    monkeypatch.setattr(host_timing, "measure_host", measure)
    return families


@pytest.fixture
def driver(tmp_path: Path) -> WaitingWorkers:
    """Give the driver's side of a folder in which it has asked."""
    driver = WaitingWorkers(tmp_path)
    driver.ask(make_split(6), make_split(6), PARTS, "auto")
    return driver


def test_each_part_is_timed_once_by_whoever_comes_first(
    driver: WaitingWorkers, tmp_path: Path, timed: list[str]
) -> None:
    WaitingWorkers(tmp_path).serve()
    WaitingWorkers(tmp_path).serve()
    chip = "a chip asked for auto on cpu"
    assert driver.answers() == [(chip, {"cnn": {"float32": 0.5}}), (chip, {"mlnn": {"float32": 0.5}})]
    assert timed == ["cnn", "mlnn"]


def test_a_part_that_another_worker_has_is_left_to_it(driver: WaitingWorkers, tmp_path: Path, timed: list[str]) -> None:
    (tmp_path / "claim-0").write_text(str(os.getpid()))
    WaitingWorkers(tmp_path).serve()
    assert timed == ["mlnn"]


@pytest.mark.usefixtures("timed")
def test_workers_that_came_before_the_request_decline(tmp_path: Path) -> None:
    WaitingWorkers(tmp_path).serve()
    driver = WaitingWorkers(tmp_path)
    driver.ask(make_split(6), make_split(6), PARTS, "auto")
    assert driver.answers() is None


def test_a_worker_that_fails_declines(driver: WaitingWorkers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host_timing, "measure_host", None)
    WaitingWorkers(tmp_path).serve()
    assert driver.answers() is None


def test_a_worker_that_died_is_not_waited_for(driver: WaitingWorkers, tmp_path: Path) -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    (tmp_path / "claim-0").write_text(str(dead.pid))
    assert driver.answers() is None


def test_workers_that_do_not_start_are_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host_timing, "PATIENCE_SECONDS", 0.0)
    driver = WaitingWorkers(tmp_path / "gone")  # nothing can be written there either
    driver.ask(make_split(6), make_split(6), PARTS, "auto")
    WaitingWorkers(tmp_path / "gone").serve()
    assert driver.answers() is None


def test_only_a_ray_of_our_own_has_workers_that_can_be_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(FOLDER, raising=False)
    assert WaitingWorkers.of_this_ray() is None
