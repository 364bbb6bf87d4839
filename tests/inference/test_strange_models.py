"""Models of strangers: a card, weights or a guard that makes no sense is one line, without memory; found by fuzzing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from bloodtune.inference.default_model import CARD
from bloodtune.inference.out_of_distribution import GUARD
from bloodtune.inference.predictor import Predictor
from error_fixtures import refusal
from model_fixtures import BLOOD, make_model


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = make_model(tmp_path_factory.mktemp("model"))
    return {file.name: file.read_bytes() for file in folder.iterdir()}


@pytest.fixture
def folder(tmp_path: Path, whole: dict[str, bytes]) -> Path:
    for name, content in whole.items():
        (tmp_path / name).write_bytes(content)
    return tmp_path


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"class_names": [[name] for name in BLOOD]}, "allowed: distinct strings"),
        ({"size": float("inf")}, "does not describe a model: cannot convert float infinity to integer"),
        ({"size": 10**9}, "size 1000000000, channels 3; allowed: 8 to 2048 pixels, 1 or 3"),
        ({"size": 0}, "size 0, channels 3; allowed"),
        ({"channels": 10**12}, "allowed: 8 to 2048 pixels, 1 or 3"),
        ({"members": 10**9}, "members 1000000000; allowed"),
        ({"configuration": []}, "the configuration is of type list; expected names with values"),
        ({"threshold": 10**400}, "has no threshold"),
        ({"temperature": 10**400}, "temperature 1000"),
        ({"data": {"preparation": []}, "threshold": 10**400}, "has no threshold"),
        ({"data": {"preparation": [1]}}, "data.preparation.crop [1]; allowed: null, or pixels from 8"),
        ({"data": {"preparation": {"crop": -3}}}, "data.preparation.crop -3"),
        ({"data": {"preparation": {"crop": "x"}}}, "data.preparation.crop 'x'"),
        ({"data": {"split_sizes": []}}, "data.split_sizes []; allowed"),
        ({"data": {"split_sizes": {"train": "many"}}}, "data.split_sizes {'train': 'many'}; allowed"),
    ],
)
def test_a_card_that_makes_no_sense_is_refused(folder: Path, changes: dict[str, Any], message: str) -> None:
    card = json.loads((folder / CARD).read_bytes())
    (folder / CARD).write_text(json.dumps(card | changes))
    assert message in refusal(lambda: Predictor.load(folder))


def test_a_card_nested_too_deeply_is_refused(folder: Path) -> None:
    (folder / CARD).write_bytes(b'{"a":' * 50_000)
    assert refusal(lambda: Predictor.load(folder)) == f"{folder / CARD} is damaged: it is nested too deeply"


def test_a_network_far_larger_than_its_weights_is_refused_before_it_is_built(folder: Path) -> None:
    card = json.loads((folder / CARD).read_bytes())
    large = {"family": "mlnn", "hidden_layers": 8, "hidden_size": 8192, "optimizer": "adam", "learning_rate": 0.1}
    (folder / CARD).write_text(json.dumps(card | {"configuration": large, "size": 2048}))  # 400 GB
    assert "does not fit the configuration" in refusal(lambda: Predictor.load(folder))


def test_a_model_of_one_class_is_refused(tmp_path: Path) -> None:
    folder = make_model(tmp_path, class_names=("cell",))
    assert "distinct strings, two or more" in refusal(lambda: Predictor.load(folder))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"means": np.float32(1)}, "does not describe a guard: means () and whitening"),
        ({"means": np.zeros((0, 64), np.float32)}, "does not describe a guard: means (0, 64)"),
        ({"limit": np.float32(1)}, "does not describe a guard: too many indices"),
        ({"limit": np.ones((2, 2), np.float32)}, "does not describe a guard: only "),
        ({"limit": np.ones(0, np.float32)}, "does not describe a guard: index 0 is out of bounds"),
        (
            {"means": np.ones((8, 5)), "whitening": np.ones((5, 5))},
            "it is for 5 features, and the network has",
        ),
    ],
)
def test_a_guard_that_makes_no_sense_is_refused(folder: Path, changes: dict[str, np.ndarray], message: str) -> None:
    guard = {"means": np.ones((8, 64)), "whitening": np.ones((64, 64)), "limit": np.ones(1)}
    save_file({name: np.asarray(array) for name, array in (guard | changes).items()}, folder / GUARD)
    assert message in refusal(lambda: Predictor.load(folder))
