"""The placement of trials, with a stand-in for the GPU: if it cannot train, the CPUs do, and one line says so."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bloodtune.data.dataset import Dataset, load_dataset
from bloodtune.training.numerics import Numerics
from bloodtune.tuning import placement
from bloodtune.tuning.gpu_sharing import Calibration, GpuError
from bloodtune.tuning.options import SearchOptions
from bloodtune.tuning.placement import Placement, Placer, find_numerics
from data_fixtures import make_arrays, save
from engine_fixtures import make_configuration
from error_fixtures import refusal

BROKEN = "the GPU cannot be used: AcceleratorError: CUDA error: no kernel image is available"


class PlayedGpu:
    """A GPU that fails when steps are timed on it, or when trainings share it."""

    def __init__(self, fails: str) -> None:
        self.fails = fails
        self.devices: list[str] = []

    def timer(self, dataset: Dataset, configurations: Any, *, device: str, asked: str, is_local: bool) -> Any:
        self.devices.append(device)

        def result() -> Any:
            if device == "cuda" and self.fails == "timing":
                raise GpuError(BROKEN)
            return SimpleNamespace(numerics=Numerics("tf32" if device == "cuda" else "float32"), reason="measured")

        return SimpleNamespace(result=result)

    def calibrate(self, *_: Any, most: int, numerics: Numerics) -> Calibration:
        if self.fails == "calibration":
            raise GpuError(BROKEN)
        return Calibration({1: 10.0, 2: 19.0}, 2)


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    return load_dataset(str(save(tmp_path / "cells.npz", make_arrays())))


def place(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch, fails: str, before: dict[str, Any] | None = None, **options: Any
) -> Placement:
    gpu = PlayedGpu(fails)
    monkeypatch.setattr(placement, "HostTimer", gpu.timer)
    monkeypatch.setattr(placement, "calibrate", gpu.calibrate)
    monkeypatch.setattr(placement, "choose_threads", lambda *_, fitting: (fitting, ""))
    resources = {"CPU": 4.0, "GPU": 1.0}
    more: dict[str, Any] = {"budget": 9, "before": before or {}, "resources": resources}
    more |= {"is_local": True, "dry_run": False}
    more |= {"options": SearchOptions(**options), "dataset": dataset, "configurations": [make_configuration("cnn")]}
    return Placer(**more).place()


def test_trials_share_a_gpu_that_can_train(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    found = place(dataset, monkeypatch, "")
    assert (found.gpus_per_trial, found.workers, found.numerics.precision) == (0.5, 2, "tf32")


@pytest.mark.parametrize("fails", ["timing", "calibration"])
def test_a_gpu_that_cannot_train_leaves_the_trials_to_the_cpus(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], fails: str
) -> None:
    found = place(dataset, monkeypatch, fails)
    assert (found.gpus_per_trial, found.workers, found.numerics.precision) == (0.0, 4, "float32")
    *_, line = capsys.readouterr().err.splitlines()
    assert line == f"{BROKEN}; trials train on CPUs, unless --gpus-per-trial 1 insists on it"


def test_a_gpu_that_was_asked_for_and_cannot_train_is_one_line(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    message = refusal(lambda: place(dataset, monkeypatch, "timing", gpus_per_trial=0.5))
    assert message == f"--gpus-per-trial 0.5: {BROKEN}; 0 trains on CPUs"


def test_a_resumed_search_whose_gpu_fails_keeps_its_precision_or_says_that_a_cpu_lacks_it(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    bfloat16 = Numerics("bfloat16").to_mapping()
    found = place(dataset, monkeypatch, "calibration", before=bfloat16)
    assert (found.gpus_per_trial, found.numerics.precision) == (0.0, "bfloat16")
    tf32 = Numerics("tf32").to_mapping()
    message = refusal(lambda: place(dataset, monkeypatch, "calibration", before=tf32))
    assert message == "precision tf32: a CPU trains in float32 or bfloat16"


def test_a_resumed_search_keeps_its_numerics() -> None:
    numerics = Numerics("bfloat16", ("cnn",))
    found, reasons = find_numerics(numerics.to_mapping(), None, "cpu")
    assert (found, reasons) == (numerics, {"precision": "that of the run"})


def test_a_new_search_takes_the_numerics_that_were_measured() -> None:
    timing = SimpleNamespace(numerics=Numerics("float32"), reason="as asked for")
    timer: Any = SimpleNamespace(result=lambda: timing)
    assert find_numerics({}, timer, "cpu") == (Numerics("float32"), {"precision": "as asked for"})
