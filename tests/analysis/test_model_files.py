"""A summary's models have temperature, threshold and guard, as one network, as an ensemble and with folds."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import model_files
from bloodtune.data.npz import Split
from bloodtune.inference.calibrated_network import Deployment
from bloodtune.inference.deployment_scores import judge_deployment
from bloodtune.inference.predictor import Predictor
from bloodtune.training.models.ensemble import Ensemble
from bloodtune.tuning.retraining_cache import DISTANCES, HELD_OUT
from model_files import write_models
from model_fixtures import draw_tiles, make_classifier

KEYS = ("temperature", "threshold", "used_val", "used_test")


@pytest.mark.parametrize("kind", ["network", "ensemble", "folds"])
def test_the_files_are_those_of_the_pretrained_model(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    classifier, images = make_classifier(), draw_tiles(120)
    if kind == "ensemble":
        classifier = dataclasses.replace(classifier, network=Ensemble([classifier.network, make_classifier().network]))
    classifier.save(tmp_path / "kept", parameters=1)
    split = Split(images, classifier.predict(images).argmax(1))
    held_out, folds = [], None
    if kind == "folds":
        labels = np.concatenate([split.labels, split.labels])
        folds, held_out = np.arange(240) % 3, [np.full((240, 8), 0.1, np.float32), np.arange(101.0)]
        held_out[0][np.arange(240), labels[np.argsort(folds, kind="stable")]] = 0.3
        for name, array in zip((HELD_OUT, DISTANCES), held_out, strict=True):
            np.save(tmp_path / "kept" / name, array)
    contender = SimpleNamespace(retrainings=[SimpleNamespace(model=tmp_path / "kept")], median=0)
    summary: Any = SimpleNamespace(
        choices=SimpleNamespace(by_family={"residual": "one"}, best="one", small=None),
        contenders={"one": contender},
        measured={"one": SimpleNamespace(intervals={})},
        search=SimpleNamespace(name="night"),
        test=split,
    )
    dataset: Any = SimpleNamespace(train=split, val=split, folds=folds)
    monkeypatch.setattr(model_files, "describe_data_for_card", lambda _: {})
    write_models(tmp_path / "models", summary, dataset)
    predictor = Predictor.load(tmp_path / "models" / "best")
    val = model_files.held_out_split(split, split, folds)
    expected, guard = judge_deployment(classifier, split, val, split, *held_out)
    assert {name: predictor.card[name] for name in KEYS} == {name: expected[name] for name in KEYS}
    assert predictor.guard is not None and guard is not None
    assert predictor.guard.limit == pytest.approx(guard.limit) and (kind != "folds" or guard.limit == 97)
    assert predictor.guard.means.shape[1] == Deployment(classifier).features
    assert predictor.network.temperature == expected["temperature"]
    (seen, known), *_ = predictor.examine(list(images[:1]))
    assert seen.shape == (8,) and known in (True, False)
