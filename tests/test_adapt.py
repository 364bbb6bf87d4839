"""The command that adapts a model: what it writes is taken by the other commands, and what it says to bad input."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from bloodtune import evaluate, predict
from bloodtune.adapt import main
from bloodtune.adaptation import choice, settings
from bloodtune.inference.predictor import Predictor
from command_fixtures import Run, with_model
from folder_fixtures import CLASSES, class_files, split_files, write_photographs
from model_fixtures import make_model


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("models") / "best")


@pytest.fixture(scope="module")
def cells(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_photographs(tmp_path_factory.mktemp("cells"), split_files({"train": 6, "test": 4}))


@pytest.fixture(scope="module", autouse=True)
def short() -> Iterator[None]:
    """Train for four epochs, on one repetition of the folds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(settings, "EPOCHS", (4, 4))
        patch.setattr(choice, "PREDICTIONS", 1)
        patch.setenv("COLUMNS", "140")
        yield


@pytest.fixture
def run(model: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    return with_model(main, model, capsys)


@pytest.fixture(scope="module")
def adapted(model: Path, cells: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("out") / "adapted"
    assert main([str(cells), "--model", str(model), "--out", str(out)]) == 0
    return out


def with_folder(command: Callable[[list[str]], int], folder: Path, cells: Path) -> int:
    return command([str(cells), "--model", str(folder)])


def test_the_other_commands_take_the_adapted_model(
    adapted: Path, cells: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    predictor = Predictor.load(adapted)
    assert predictor.class_names == CLASSES
    assert predictor.guard is not None
    assert not predictor.untested
    assert with_folder(evaluate.main, adapted, cells) == 0
    assert "12 images" in capsys.readouterr().out, "the test split alone"
    assert with_folder(predict.main, adapted, cells) == 0


def test_the_card_says_what_was_chosen_and_what_it_started_from(adapted: Path) -> None:
    card = json.loads((adapted / "model.json").read_text())
    trials = card["adapted"]["trials"]
    assert len(trials) == 5
    assert [trial["log_loss"] for trial in trials] == sorted(trial["log_loss"] for trial in trials)
    assert card["configuration"]["normalization"] == trials[0]["normalization"]
    assert card["adapted"]["model"] == "search #7"
    assert card["data"]["split_sizes"] == {"train": 18, "val": 0, "test": 12}
    assert set(card["used_val"]) == set(card["used_test"])
    text = (adapted / "MODEL_CARD.md").read_text()
    assert "started from the weights of another one (search #7)" in text
    assert "without one of 5 folds" in text and "| test |" in text


def test_the_screen_has_settings_and_scores_and_the_same_seed_gives_the_same_model(
    run: Run, adapted: Path, cells: Path, tmp_path: Path
) -> None:
    code, out, err = run(cells, "--out", tmp_path / "again")
    assert code == 0, err
    done = [int(share) for share in re.findall(r"adapt: (\d+) % of the training done", err)]
    assert done[0] == 0 and done[-1] == 100 and done == sorted(set(done)) and len(done) > 5
    assert "again written" in err and "18 labelled photographs in 3 classes" in err
    assert "Settings" in out and "reinhard" in out and "macro-F1" in out and "not for diagnosis" in out
    assert "Test split: accuracy" in out
    files = [(folder / "model.safetensors").read_bytes() for folder in (adapted, tmp_path / "again")]
    assert files[0] == files[1]


def test_a_quick_adaptation_searches_nothing_and_its_scores_chose_nothing(
    run: Run, cells: Path, tmp_path: Path
) -> None:
    code, out, err = run(cells, "--out", tmp_path / "adapted", "--quick")
    assert code == 0, err
    assert "adapt: 100 % of the training done" in err
    assert "they chose the settings" not in out
    card = json.loads((tmp_path / "adapted" / "model.json").read_text())
    assert len(card["adapted"]["trials"]) == 1
    settings = card["adapted"]["settings"]
    assert (settings["epochs"], settings["networks"]) == (2, 1)
    assert "because the threshold was chosen by them" in (tmp_path / "adapted" / "MODEL_CARD.md").read_text()


def test_a_crop_is_chosen_if_several_are_given(run: Run, tmp_path: Path) -> None:
    cells = write_photographs(tmp_path / "cells", class_files(4), size=64)
    code, out, err = run(cells, "--crop", "60", "--crop", "40", "--out", tmp_path / "adapted")
    assert code == 0, err
    assert "There is no test split" in (tmp_path / "adapted" / "MODEL_CARD.md").read_text()
    crop = Predictor.load(tmp_path / "adapted").crop
    assert crop in (60, 40)
    assert "Test split" not in out


@pytest.mark.parametrize(
    ("name", "message"),
    [("nowhere", "nowhere: no such file or folder"), ("adapted", "has files; allowed: a new or empty folder")],
)
def test_unusable_input_is_one_line_and_nothing_is_written(
    run: Run, cells: Path, tmp_path: Path, name: str, message: str
) -> None:
    out = tmp_path / "adapted"
    if name == "adapted":
        out.mkdir()
        (out / "model.json").write_text("{}")
    before = sorted(tmp_path.rglob("*"))
    code, _, err = run(tmp_path / name if name == "nowhere" else cells, "--out", out)
    assert code == 2
    assert message in err and err.count("\n") == 1
    assert sorted(tmp_path.rglob("*")) == before


def test_a_model_of_grey_images_is_refused(cells: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    grey = make_model(tmp_path / "grey", channels=1)
    code, _, err = with_model(main, grey, capsys)(cells, "--out", tmp_path / "adapted")
    assert code == 2
    assert "takes grey images" in err


def test_the_guard_of_an_adapted_model_knows_most_photographs_of_its_kind(adapted: Path, cells: Path) -> None:
    predictor = Predictor.load(adapted)
    found = list(predictor.predict(predictor.find([cells / "test"])))
    assert np.mean([one.known for one in found]) >= 0.7  # type: ignore[union-attr]
