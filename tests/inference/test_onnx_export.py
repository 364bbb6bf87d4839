"""The exported model says what ours does, and its card what it is."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bloodtune.command_line import print_lines
from bloodtune.inference import int8_export, onnx_export
from bloodtune.inference.differential import Prediction
from bloodtune.inference.int8_export import choose_calibration
from bloodtune.inference.onnx_export import export_onnx, model_card
from bloodtune.inference.predictor import Image, Predictor
from bloodtune.space.families import FAMILIES
from error_fixtures import refusal
from model_fixtures import BLOOD, draw_tiles, make_model

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")


@pytest.mark.parametrize("family", FAMILIES)
def test_the_exported_model_gives_the_same_probabilities_of_any_number_of_images(family: str, tmp_path: Path) -> None:
    predictor = Predictor.load(make_model(tmp_path / "best", family=family))
    model, card = export_onnx(predictor, tmp_path / "out")  # without calibration no int8
    session = onnxruntime.InferenceSession(model)
    for count in (1, 7):
        images = draw_tiles(count)
        (found,) = session.run(None, {"images": images})
        np.testing.assert_allclose(found, predictor.network.predict(images), atol=1e-4)
    metadata = session.get_modelmeta().custom_metadata_map
    assert metadata["class_names"] == str(list(BLOOD)).replace("'", '"')
    assert float(metadata["threshold"]) == 0.5
    assert "0123456789ab" in card.read_text()


def calibrate(predictor: Predictor, count: int) -> list[Prediction]:
    images = (Image(str(number), tile) for number, tile in enumerate(draw_tiles(count)))
    return choose_calibration(predictor, images, print_lines)


@pytest.mark.parametrize("family", FAMILIES)
def test_an_int8_model_chooses_the_same_classes(family: str, tmp_path: Path) -> None:
    predictor = Predictor.load(make_model(tmp_path / "best", family=family))
    files = export_onnx(predictor, tmp_path / "out", calibrate(predictor, 40))
    assert [file.name for file in files] == ["model.onnx", "MODEL_CARD.md", "model.int8.onnx"]
    plain, int8 = (onnxruntime.InferenceSession(tmp_path / "out" / name) for name in ("model.onnx", "model.int8.onnx"))
    metadata = [session.get_modelmeta().custom_metadata_map.items() for session in (plain, int8)]
    assert metadata[0] <= metadata[1]
    added = dict(metadata[1] - metadata[0])
    assert 0 < float(added.pop("calibration_largest_difference")) < 0.05
    expected_entries = {"precision": "int8", "calibration_photographs": "40", "calibration_differing_share": "0.0"}
    assert expected_entries.items() <= added.items()
    (expected,), (found,) = (session.run(None, {"images": draw_tiles(9, seed=1)}) for session in (plain, int8))
    assert (found != expected).any(), "it computes in another precision"
    np.testing.assert_allclose(found, expected, atol=0.05)
    card = (tmp_path / "out/MODEL_CARD.md").read_text()
    assert "calibrated on 40 photographs; 0 of these get another class" in card
    assert "The threshold was not fitted again to it" in card
    weights = {value.data_type for value in onnx.load(files[2]).graph.initializer if len(value.dims) > 1}
    assert weights == {onnx.TensorProto.INT8, onnx.TensorProto.FLOAT}, "the first layer stays float32"


def test_an_int8_model_of_an_earlier_export_goes(tmp_path: Path) -> None:
    (tmp_path / "model.int8.onnx").touch()
    export_onnx(Predictor.load(make_model(tmp_path / "best")), tmp_path)
    assert not (tmp_path / "model.int8.onnx").exists()


def test_photographs_that_cannot_be_read_are_left_out_and_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "broken.jpg").write_bytes(b"no photograph")
    predictor = Predictor.load(make_model(tmp_path / "best"))
    images = [
        *(Image(str(number), tile) for number, tile in enumerate(draw_tiles(32))),
        Image("b", tmp_path / "broken.jpg"),
    ]
    assert len(choose_calibration(predictor, images, print_lines)) == 32
    assert capsys.readouterr().err == "predict: 1 of 33 photographs cannot be read, and are left out\n"


def test_too_few_photographs_calibrate_nothing_and_of_many_some_are_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    predictor = Predictor.load(make_model(tmp_path / "best"))
    assert refusal(lambda: calibrate(predictor, 31)) == "--int8: 31 photographs can be read; allowed: 32 and more"
    monkeypatch.setattr(int8_export, "MOST", 35)
    drawn = [[one.source for one in calibrate(predictor, 50)] for _ in range(2)]
    assert drawn[0] == drawn[1]
    assert len(set(drawn[0])) == 35


def test_an_int8_model_of_other_classes_is_refused(tmp_path: Path) -> None:
    predictor = Predictor.load(make_model(tmp_path / "best"))
    wrong = [
        dataclasses.replace(one, probabilities=np.roll(one.probabilities, 1)) if number < 2 else one
        for number, one in enumerate(calibrate(predictor, 50))
    ]
    message = refusal(lambda: export_onnx(predictor, tmp_path / "out", wrong))
    assert message.startswith("--int8: 2 of 50 photographs get another class in int8; allowed: 2%")
    assert not (tmp_path / "out").exists()


def test_a_model_that_exports_to_other_probabilities_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnx_export, "TOLERANCE", -1.0)
    predictor = Predictor.load(make_model(tmp_path / "model"))
    message = refusal(lambda: export_onnx(predictor, tmp_path))
    assert message.startswith("--export onnx: exported and original probabilities differ by ")
    assert not list(tmp_path.glob("*.onnx"))


def test_a_model_that_does_not_say_what_it_is_gets_no_card(tmp_path: Path) -> None:
    predictor = Predictor.load(make_model(tmp_path / "best", parameters=None, used_test={"accuracy": 1.0}))
    message = refusal(lambda: export_onnx(predictor, tmp_path / "out"))
    assert message.startswith("model.json lacks an entry that the model card needs: ")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("changes", "present", "absent"),
    [
        ({}, ["97.50 %", "98.80 %", "11,959 training", "healthy donors", "not for diagnosis"], ["synthetic"]),
        ({"data": {"title": "s", "md5": "", "synthetic": True, "split_sizes": {"train": 1, "val": 1, "test": 1}}},
         ["synthetic images"], ["Acevedo"]),
        ({"data": {"title": "mine", "md5": "", "split_sizes": {"train": 70, "val": 10, "test": 20}}},
         ["single blood cells", "70 training"], ["Acevedo", "healthy donors"]),
        ({"class_names": ("benign", "malignant"), "data": None}, ["pictures in 2 classes"], ["blood", "neutrophils"]),
        ({"data": {"title": "m", "md5": "", "split_sizes": dict.fromkeys(("train", "val", "test"), 9),
                   "preparation": {"folds": 5}}},
         ["trained on all training and validation images", "of 5 other networks"], ["These are the scores"]),
        ({"used_test": None, "data": None, "run": None}, ["Intended use"], ["## Scores", "## Data", "None"]),
    ],
)  # fmt: skip
def test_the_card_says_what_the_model_is(
    changes: dict[str, Any], present: list[str], absent: list[str], tmp_path: Path
) -> None:
    card = model_card(Predictor.load(make_model(tmp_path, **changes)))
    for text in present:
        assert text in card
    for text in absent:
        assert text not in card
    assert card.endswith("\n")


def test_the_card_says_by_which_rule_a_small_model_was_chosen(tmp_path: Path) -> None:
    predictor = Predictor.load(make_model(tmp_path))
    assert "| choice |" not in model_card(predictor)
    predictor.card["choice"] = "the one with the fewest parameters"
    assert "\n| choice | the one with the fewest parameters |\n| run, commit |" in model_card(predictor)
