"""Training steps timed on a Ray of this machine, and the threads of a core against the core."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bloodtune.data.dataset import Dataset, load_dataset
from bloodtune.data.npz import Split
from bloodtune.errors import InputError
from bloodtune.training.numerics import FLOAT32, PLAIN, StepTimes, supported_precisions
from bloodtune.training.timing_cache import Timing, timing_file, write_timing
from bloodtune.tuning import host_timing, precision_choice
from bloodtune.tuning.host_timing import WaitingWorkers
from bloodtune.tuning.precision_choice import HostTimer, choose_threads
from bloodtune.tuning.ray_cluster import LOCAL, connect
from data_fixtures import make_arrays, save
from engine_fixtures import make_configuration

CONFIGURATIONS = [make_configuration("mlnn"), make_configuration("cnn")]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dataset]:
    dataset = load_dataset(str(save(tmp_path_factory.mktemp("data") / "small.npz", make_arrays(size=12, copies=40))))
    with connect(LOCAL, workers=2, image_bytes=dataset.bytes_to_copy):
        yield dataset


def test_the_hosts_steps_decide_and_are_said(dataset: Dataset) -> None:
    timing = HostTimer(dataset, CONFIGURATIONS, device="cpu", asked="float32").result()
    assert timing.numerics.precision == "float32"
    assert timing.reason.startswith("as asked for; ")
    assert ", ms per step: cnn " in timing.reason
    assert "bfloat16" not in timing.reason.partition("ms per step")[2], "it was not asked for"


def test_a_precision_that_was_asked_for_costs_no_measurement(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision_choice, "measure_host", None)
    assert HostTimer(dataset, CONFIGURATIONS, device="cpu", asked="bfloat16").result().reason == "as asked for"


def test_a_cpu_that_was_timed_before_is_not_asked_again(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision_choice, "measure_host", None)
    shape, precisions = dataset.train.images.shape[1:], supported_precisions("cpu")
    for configuration in CONFIGURATIONS:
        timing = Timing("a chip", {"float32": 0.02, PLAIN: 0.03, "bfloat16": 0.01})
        write_timing(timing_file(configuration.family, configuration, list(shape), list(precisions), ""), timing)
    timing = HostTimer(dataset, CONFIGURATIONS, device="cpu", is_local=True).result()
    assert timing.numerics.precision == "bfloat16"
    assert timing.reason == "a chip, ms per step: cnn 20 float32, 10 bfloat16; mlnn 20 float32, 10 bfloat16"


def test_answers_of_waiting_workers_start_no_task(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Waiting(WaitingWorkers):
        def ask(self, train: Split, val: Split, parts: Any, asked: str) -> None:
            super().ask(train, val, parts, asked)
            WaitingWorkers(tmp_path).serve()

    def measure(train: Any, val: Any, configurations: Any, device: str, asked: str) -> tuple[str, StepTimes]:
        return "a chip", {one.family: {"float32": 0.02, PLAIN: 0.03, "bfloat16": 0.01} for one in configurations}

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "empty"))
    monkeypatch.setattr(WaitingWorkers, "of_this_ray", lambda: Waiting(tmp_path))
    monkeypatch.setattr(host_timing, "measure_host", measure)
    monkeypatch.setattr(precision_choice, "measure_host", None)
    timing = HostTimer(dataset, CONFIGURATIONS, device="cpu", is_local=True).result()
    assert timing.numerics.precision == "bfloat16"
    assert timing.reason == "a chip, ms per step: cnn 20 float32, 10 bfloat16; mlnn 20 float32, 10 bfloat16"


def test_tasks_time_where_waiting_workers_decline(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "empty"))
    monkeypatch.setattr(WaitingWorkers, "of_this_ray", lambda: WaitingWorkers(tmp_path))
    (tmp_path / "declined").touch()
    timing = HostTimer(dataset, CONFIGURATIONS, device="cpu", asked="float32", is_local=True).result()
    assert ", ms per step: cnn " in timing.reason


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (RuntimeError("no kernel image"), "^no training step can be timed: RuntimeError: no kernel image$"),
        (InputError("precision tf32: this GPU trains in float32"), "^precision tf32: this GPU trains in float32$"),
    ],
)
def test_a_host_that_cannot_train_is_one_line(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch, error: Exception, message: str
) -> None:
    def fail(*arguments: Any) -> None:
        raise error

    monkeypatch.setattr(precision_choice, "measure_host", fail)
    timer = HostTimer(dataset, CONFIGURATIONS, device="cpu")
    with pytest.raises(InputError, match=message):
        timer.result()


def test_two_threads_are_timed_against_one_where_cores_have_two(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Two CPUs that are no threads of one core play them.
    monkeypatch.setattr(precision_choice, "shared_cores", lambda cpus: [[0, 1]])
    monkeypatch.setattr(precision_choice, "usable_cpus", lambda: {0, 1})
    monkeypatch.setattr(precision_choice, "THREAD_SECONDS", 0.05)
    workers, reason = choose_threads(dataset, CONFIGURATIONS, FLOAT32, fitting=2)
    assert (workers, reason.partition(":")[0]) in [(2, "one per thread"), (1, "one per core")]
    monkeypatch.setattr(precision_choice, "_time_threads", None)
    assert choose_threads(dataset, CONFIGURATIONS, FLOAT32, fitting=2) == (workers, reason), "not timed again"
    assert choose_threads(dataset, CONFIGURATIONS, FLOAT32, fitting=1) == (1, ""), "as many cores as CPUs that Ray has"


def test_without_shared_cores_each_cpu_gets_a_worker(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precision_choice, "_CPUS", tmp_path)  # a system that does not say
    assert choose_threads(dataset, CONFIGURATIONS, FLOAT32, fitting=2) == (2, "")
