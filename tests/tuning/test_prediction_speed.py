"""The prediction speed of models: what is measured, and when it is read instead."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from bloodtune.inference.classifier import Classifier
from bloodtune.tuning import prediction_speed
from bloodtune.tuning.prediction_speed import IMAGES, ROUNDS, SPEED, prediction_speeds
from model_fixtures import draw_tiles, make_classifier


@pytest.fixture
def models(tmp_path: Path) -> list[Path]:
    """Save two models; the second one is given twice."""
    for name, family in (("a", "mlnn"), ("b", "cnn")):
        make_classifier(family).save(tmp_path / name)
    return [tmp_path / name for name in "abb"]


@pytest.fixture(autouse=True)
def seen(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """Return the number of images and of threads of each prediction; the predictions take 1, 2, 3 ... seconds."""
    seen: list[tuple[int, int]] = []
    clock = [0.0]

    def predict(self: Classifier, images: np.ndarray) -> None:
        seen.append((len(images), torch.get_num_threads()))
        clock[0] += (len(seen) - 1) % (1 + ROUNDS) + 1

    monkeypatch.setattr(Classifier, "predict", predict)
    monkeypatch.setattr(prediction_speed.time, "thread_time", lambda: clock[0])
    return seen


def test_the_speed_is_the_median_of_rounds_on_one_core(models: list[Path], seen: list[tuple[int, int]]) -> None:
    torch.set_num_threads(2)
    found = prediction_speeds(models, draw_tiles(5))
    assert torch.get_num_threads() == 2
    assert seen == [(IMAGES, 1)] * 2 * (1 + ROUNDS), "a model is measured once, also if it is given twice"
    assert [speed.images_per_second for speed in found] == [8.0] * 3  # 32 images; the median of 2, 3, 4, 5, 6 seconds
    assert {(speed.views, speed.rounds) for speed in found} == {(8, ROUNDS)}


def test_a_measured_speed_is_read(models: list[Path], seen: list[tuple[int, int]]) -> None:
    first = prediction_speeds(models, draw_tiles(5))
    seen.clear()
    assert prediction_speeds(models, draw_tiles(5)) == first
    assert seen == []


@pytest.mark.parametrize("damage", ["", "{", "[]", "{}", '{"images_per_second": 1}', "another processor"])
def test_a_damaged_or_foreign_speed_is_measured_again(
    damage: str, models: list[Path], seen: list[tuple[int, int]]
) -> None:
    first = prediction_speeds(models, draw_tiles(5))
    seen.clear()
    file = models[0] / SPEED
    record = json.loads(file.read_text())
    file.write_text(json.dumps(record | {"processor": damage}) if "processor" in damage else damage)
    assert prediction_speeds(models, draw_tiles(5)) == first
    assert len(seen) == 1 + ROUNDS
    assert json.loads(file.read_text()) == record


def test_a_speed_that_cannot_be_kept_is_still_given(models: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(file: Path, content: bytes) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(prediction_speed, "replace", fail)
    assert len(prediction_speeds(models, draw_tiles(5))) == 3
    assert not (models[0] / SPEED).exists()


def test_no_model_needs_no_measurement(seen: list[tuple[int, int]]) -> None:
    assert prediction_speeds([], draw_tiles(1)) == [] and seen == []
