"""The place of a summary's trainings, with a stand-in for the GPU."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import ray

from bloodtune.data.dataset import Dataset, load_dataset
from bloodtune.training.numerics import Numerics
from bloodtune.tuning import retraining_place
from bloodtune.tuning.gpu_sharing import Calibration, GpuError
from bloodtune.tuning.retraining_place import place_retrainings, try_gpu
from bloodtune.tuning.retraining_workers import Workers
from data_fixtures import make_arrays, save
from engine_fixtures import make_configuration
from error_fixtures import refusal

GPU, CPU = {"CPU": 16.0, "GPU": 2.0}, {"CPU": 16.0}
BROKEN = "the GPU cannot be used: RuntimeError: CUDA error: CUDA-capable device(s) is/are busy or unavailable"
TF32 = Numerics("tf32")


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    return load_dataset(str(save(tmp_path / "cells.npz", make_arrays())))


def place(dataset: Dataset, used: float | None, resources: dict[str, float] = GPU, **asked: Any) -> Workers:
    record = TF32.to_mapping() | ({} if used is None else {"gpus_per_trial": used})
    given = {"asked": None, "gpus": None} | asked
    return place_retrainings(record, dataset, [make_configuration("cnn")], resources=resources, **given)


@pytest.mark.parametrize(
    ("used", "asked", "share", "count"),
    [
        (0.25, {}, 0.25, 8),
        (1.0, {}, 1.0, 2),
        (None, {}, 1.0, 2),
        (0.25, {"asked": 3}, 0.25, 3),
        (0.25, {"gpus": 0.5}, 0.5, 4),
        (0.0, {"gpus": 0.5}, 0.5, 4),
    ],
)
def test_a_summary_takes_the_share_of_a_gpu_that_its_search_took_or_the_one_asked_for(
    dataset: Dataset, used: float | None, asked: dict[str, Any], share: float, count: int
) -> None:
    found = place(dataset, used, **asked)
    assert (found.gpus, found.count, found.numerics) == (share, count, TF32)
    assert found.is_untried == ("gpus" not in asked)


def test_a_summary_of_a_search_on_cpus_trains_on_cpus_and_says_so(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    timing = SimpleNamespace(numerics=Numerics("bfloat16"))
    timer = SimpleNamespace(result=lambda: timing)
    monkeypatch.setattr(retraining_place, "HostTimer", lambda *_, device: timer if device == "cpu" else None)
    found = place(dataset, 0.0)
    assert (found.gpus, found.count, found.numerics.precision) == (0.0, 16, "bfloat16")
    assert capsys.readouterr().err.splitlines() == [
        "retrainings run on CPUs, as the search's trials did; --gpus-per-training 1 uses the GPU"
    ]


def test_more_gpus_than_there_are_is_one_line(dataset: Dataset) -> None:
    message = refusal(lambda: place(dataset, 1.0, CPU, gpus=0.5))
    assert message == "--gpus-per-training 0.5: this machine has 0 GPUs; leave it out, or use 0"


@pytest.mark.parametrize("gpus", [None, 0.5])
def test_a_gpu_that_cannot_be_timed_is_left_or_refused(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], gpus: float | None
) -> None:
    class Timer:
        def __init__(self, *_: Any, device: str) -> None:
            self.device = device

        def result(self) -> Any:
            if self.device == "cuda":
                raise GpuError(BROKEN)
            return SimpleNamespace(numerics=Numerics())

    monkeypatch.setattr(retraining_place, "HostTimer", Timer)
    given: dict[str, Any] = {"asked": None, "gpus": gpus, "resources": GPU}

    def run() -> Workers:
        return place_retrainings({}, dataset, [make_configuration("cnn")], **given)

    if gpus:
        assert refusal(run) == f"--gpus-per-training 0.5: {BROKEN}; 0 trains on CPUs"
        return
    assert run() == Workers(16, 0.0)
    assert capsys.readouterr().err.splitlines() == [f"{BROKEN}; retrainings run on CPUs"]


@pytest.mark.parametrize(("fits", "share", "count"), [(4, 0.25, 8), (2, 0.5, 4), (0, 0.0, 12)])
def test_as_many_trainings_share_a_gpu_as_it_holds_and_if_none_they_run_on_cpus(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch, fits: int, share: float, count: int
) -> None:
    tried = []

    def calibrate(*_: Any, most: int, numerics: Numerics) -> Calibration:
        tried.append(most)
        if not fits:
            raise GpuError(BROKEN)
        return Calibration({fits: 1.0}, fits)

    monkeypatch.setattr(retraining_place, "calibrate", calibrate)
    monkeypatch.setattr(ray, "cluster_resources", lambda: GPU)
    found = try_gpu(Workers(8, 0.25, TF32, asked=12, is_untried=True), dataset, [make_configuration("cnn")])
    assert (found.gpus, found.count, tried) == (share, count, [4])
    assert found.numerics.precision == ("tf32" if fits else "float32")
    assert try_gpu(found, dataset, []) is found, "not twice"
