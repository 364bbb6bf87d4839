"""Corruptions of images: each changes what its name says, and more so with its strength."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import corruptions
from bloodtune.data.npz import Split
from bloodtune.inference.predictor import Predictor
from corruptions import CORRUPTIONS, choose_images, corrupt, judge, main
from data_fixtures import make_arrays, save
from model_fixtures import BLOOD, draw_tiles, make_model


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_a_stronger_corruption_changes_images_more(name: str) -> None:
    images = np.random.default_rng(0).integers(0, 256, (6, 28, 28, 3), dtype=np.uint8)
    before = images.copy()
    changed = [corrupt(images, name, strength) for strength in range(3)]
    assert np.array_equal(images, before)
    assert all(one.shape == images.shape and one.dtype == np.uint8 for one in changed)
    distances = [np.abs(one.astype(float) - images).mean() for one in changed]
    assert 0 < distances[0] < distances[1] < distances[2]
    assert np.array_equal(changed[1], corrupt(images, name, 1)), "the same again"


def test_brightness_colour_and_motion_do_what_they_say() -> None:
    images = draw_tiles(4)
    assert corrupt(images, "darker", 2).mean() < images.mean() < corrupt(images, "brighter", 2).mean()
    grey = corrupt(images, "less colour", 2)
    assert np.ptp(grey, axis=3).max() == 0
    flat = np.full((1, 28, 28, 3), 90, np.uint8)
    for name in ("motion", "out of focus", "pixelated"):
        assert np.array_equal(corrupt(flat, name, 2), flat), name
    edge = np.zeros((1, 28, 28, 3), np.uint8)
    edge[:, :, 14:] = 240
    assert corrupt(edge, "motion", 1)[0, 0, 13:19, 0].tolist() == [0, 60, 120, 180, 240, 240]


def test_shares_are_those_of_the_predictor(tmp_path: Path) -> None:
    predictor, images = Predictor.load(make_model(tmp_path / "model")), draw_tiles(40)
    found = np.stack([one for one, _ in predictor.examine(list(images))])
    labels = found.argmax(1)
    assert judge(predictor, images, labels) == {"accuracy": 1, "sure_wrong": 0, "known": 1}
    sure = (found.max(1) >= predictor.threshold).mean()
    assert judge(predictor, images, (labels + 1) % 8) == {"accuracy": 0, "sure_wrong": pytest.approx(sure), "known": 1}


def test_a_part_of_the_images_keeps_their_labels() -> None:
    labels = np.arange(50)
    images = np.broadcast_to(labels[:, None, None, None], (50, 28, 28, 3)).astype(np.uint8)
    some, kept = choose_images(Split(images, labels), 20)
    assert len(set(kept.tolist())) == 20 and some[:, 0, 0, 0].tolist() == kept.tolist()


def test_the_command_prints_a_row_per_corruption(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    data = save(tmp_path / "blood.npz", make_arrays(size=28, classes=len(BLOOD)))
    monkeypatch.setattr(corruptions, "CORRUPTIONS", {name: CORRUPTIONS[name] for name in ("JPEG", "hue")})
    model = make_model(tmp_path / "model")
    assert main(["--data", str(data), "--model", str(model), "--count", "5"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(" | ")[0] for line in lines[4:6]] == ["| JPEG", "| hue"]
    figures = json.loads(lines[-1])
    assert figures["images"] == 5 and len(figures["corruptions"]["hue"]) == 3
