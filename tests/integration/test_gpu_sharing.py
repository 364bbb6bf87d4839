"""Trainings side by side on a Ray of their own: a core is shared as a GPU would be."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from bloodtune.data.dataset import load_dataset
from bloodtune.space.configuration import Configuration
from bloodtune.space.recipe_file import load_recipe
from bloodtune.tuning import gpu_sharing
from bloodtune.tuning.ray_cluster import LOCAL, connect
from data_fixtures import make_arrays, save

CANDIDATES = gpu_sharing.heaviest(load_recipe("cnn"))


def test_trainings_are_measured_side_by_side_while_that_pays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_sharing, "SECONDS", 0.1)
    monkeypatch.setattr(gpu_sharing, "GAIN", 0.0)  # a core has nothing to gain
    dataset = load_dataset(str(save(tmp_path / "small.npz", make_arrays(size=12, copies=40))))
    with connect(LOCAL, workers=1, image_bytes=dataset.bytes_to_copy):
        calibration = gpu_sharing.calibrate(dataset, CANDIDATES, most=3, device="cpu")
        assert list(calibration.rates) == [1, 2]
        assert calibration.trials == 2
        assert min(calibration.rates.values()) > 0
        # The core is free again.
        monkeypatch.setattr(gpu_sharing, "GAIN", 1000.0)
        again = gpu_sharing.calibrate(dataset, CANDIDATES, most=2, device="cpu")
    assert list(again.rates) == [1, 2]
    assert again.trials == 1


@pytest.mark.parametrize("text", ["CUDA error: out of memory", "CUDA error: no kernel image"])
def test_what_cannot_train_alone_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    class Broken(gpu_sharing._Probe):
        def prepare(self, candidates: Sequence[Configuration]) -> None:
            raise RuntimeError(text)

    monkeypatch.setattr(gpu_sharing, "_Probe", Broken)
    dataset = load_dataset(str(save(tmp_path / "small.npz", make_arrays(size=12, copies=40))))
    told = pytest.raises(gpu_sharing.GpuError, match=f"^the CPU cannot be used: RuntimeError: {text}$")
    with connect(LOCAL, workers=1, image_bytes=dataset.bytes_to_copy), told:
        gpu_sharing.calibrate(dataset, CANDIDATES, most=2, device="cpu")
