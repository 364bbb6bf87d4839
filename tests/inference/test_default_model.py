"""The model that is used where none is named, and the pretrained one that comes with the package."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from bloodtune import classify, evaluate, predict
from bloodtune.files import point_latest
from bloodtune.inference import onnx_export
from bloodtune.inference.default_model import PRETRAINED, find_model
from bloodtune.inference.differential import Prediction
from bloodtune.inference.predictor import Predictor
from model_fixtures import BLOOD, draw_tiles, make_model, photograph


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_a_summary_comes_before_a_search_and_a_search_before_the_pretrained_model(tmp_path: Path) -> None:
    assert find_model(None) == PRETRAINED
    (tmp_path / "results" / "latest").mkdir(parents=True)
    assert find_model(None) == PRETRAINED, "a summary without a model"
    make_model(tmp_path / "runs" / "night" / "model")
    point_latest(tmp_path / "runs", "night")
    assert find_model(None) == Path("runs/night/model")
    make_model(tmp_path / "results" / "latest" / "models" / "best")
    assert find_model(None) == Path("results/latest/models/best")
    assert find_model("runs/night") == Path("runs/night/model")


def test_a_model_that_is_asked_for_is_never_replaced_by_another(tmp_path: Path) -> None:
    assert find_model(tmp_path / "none") == tmp_path / "none"
    assert predict.main([".", "--model", "none"]) == 2


def test_a_clone_counts_at_once_and_says_with_which_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photograph(tmp_path / "a.jpg")
    assert predict.main(["a.jpg", "--json", "a.json"]) == 0
    out, err = capsys.readouterr()
    assert "1 image counted" in out
    assert err.splitlines()[0] == f"predict: {predict.PRETRAINED_MODEL}" and len(err.splitlines()) == 2
    assert json.loads((tmp_path / "a.json").read_text())["model"]["label"].startswith("pretrained")
    assert isinstance(classify("a.jpg")[0], Prediction)


def test_the_pages_of_a_count_and_of_an_evaluation_name_the_pretrained_model(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for index, name in enumerate(("monocyte", "platelet")):
        (tmp_path / "cells" / name).mkdir(parents=True)
        Image.fromarray(draw_tiles(1, index)[0]).save(tmp_path / "cells" / name / "a.png")
    assert predict.main(["cells", "--html", "count.html"]) == 0
    assert evaluate.main(["cells", "--html", "scores.html"]) == 0
    assert f"evaluate: {predict.PRETRAINED_MODEL}" in capsys.readouterr().err
    for page in ("count.html", "scores.html"):
        assert "Model: pretrained resnet network, resnet" in (tmp_path / page).read_text()


def test_a_model_that_is_found_is_named_and_one_that_is_asked_for_is_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photograph(tmp_path / "a.jpg")
    make_model(tmp_path / "results" / "night" / "models" / "best")
    point_latest(tmp_path / "results", "night")
    assert predict.main(["a.jpg"]) == 0
    assert capsys.readouterr().err.splitlines()[0] == "predict: model results/night/models/best"
    assert predict.main(["a.jpg", "--model", str(PRETRAINED)]) == 0
    assert "model" not in capsys.readouterr().err


@pytest.mark.parametrize("asked", [None, PRETRAINED, "here"])
def test_an_export_of_the_pretrained_model_needs_a_place(
    tmp_path: Path, asked: Path | str | None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(onnx_export, "export_onnx", None)  # so that a failure writes nothing into the package
    (tmp_path / "here").symlink_to(PRETRAINED)
    assert predict.main(["--export", "onnx", *([] if asked is None else ["--model", str(asked)])]) == 2
    assert "--export of the pretrained model needs --out DIR" in capsys.readouterr().err


def test_the_pretrained_model_is_exported(tmp_path: Path) -> None:
    assert predict.main(["--export", "onnx", "--out", "exported"]) == 0
    assert (tmp_path / "exported" / "model.onnx").stat().st_size > 0
    cards = [(folder / "MODEL_CARD.md").read_text() for folder in (PRETRAINED, tmp_path / "exported")]
    assert len({next(line for line in card.splitlines() if "(this model)" in line) for card in cards}) == 1


def test_the_pretrained_model_is_small_tested_calibrated_and_licensed() -> None:
    predictor = Predictor.load()
    assert predictor.class_names == BLOOD and predictor.guard is not None
    assert not predictor.synthetic and not predictor.untested
    assert predictor.card["parameters"] < 1_000_000
    assert sum(file.stat().st_size for file in PRETRAINED.iterdir()) <= 2_000_000
    assert predictor.card["used_test"]["calibration_error"] < predictor.card["used_test"]["uncalibrated_error"]
    assert "CC BY 4.0" in predictor.card["licence"] and "Acevedo" in (PRETRAINED / "LICENSE").read_text()
