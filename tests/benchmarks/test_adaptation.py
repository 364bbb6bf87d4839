"""The benchmark of adaptations: draws of cells, and one line, one row and one point per draw."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import adaptation
from adaptation import draw_cells, interval, main
from bloodtune.adaptation import choice, settings
from bloodtune.data.labelled_folder import read_labelled_folder
from bloodtune.data.preparation import Preparation
from bloodtune.inference.classifier import Classifier
from folder_fixtures import class_files, write_photographs
from model_fixtures import make_model

LABELS = ["neutrophil"] * 176 + ["lymphocyte"] * 53 + ["monocyte"] * 48 + ["eosinophil"] * 22


@pytest.mark.parametrize(
    ("cells", "counts"), [(20, [2, 3, 3, 12]), (50, [4, 9, 8, 29]), (100, [7, 18, 16, 59]), (8, [2, 2, 2, 2])]
)
def test_a_draw_has_each_class_by_its_share_and_two_of_it_at_least(cells: int, counts: list[int]) -> None:
    drawn = draw_cells(LABELS, cells, np.random.default_rng(0))
    assert len(set(drawn.tolist())) == cells
    assert np.unique(np.array(LABELS)[drawn], return_counts=True)[1].tolist() == counts


def test_draws_differ_with_the_generator_alone() -> None:
    draws = [draw_cells(LABELS, 20, np.random.default_rng(number)).tolist() for number in (1, 1, 2)]
    assert draws[0] == draws[1] != draws[2]


def test_the_interval_is_that_of_the_t_distribution() -> None:
    mean, half, draws = interval([0.8, 0.9, 1.0])
    assert (mean, draws) == (pytest.approx(0.9), 3)
    assert half == pytest.approx(4.3027 * 0.1 / 3**0.5, abs=1e-4)


def test_training_from_scratch_is_scored_on_the_classes_of_the_photographs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adaptation, "SCRATCH_IMAGES", 24)
    scored: list[Classifier] = []
    monkeypatch.setattr(adaptation, "score", lambda classifier, test: scored.append(classifier))
    cells = write_photographs(tmp_path / "cells", class_files(8))
    model = Classifier.load(make_model(tmp_path / "model"))
    data = read_labelled_folder(cells, Preparation(size=model.size))
    adaptation.train_from_scratch(model, data, 0)
    assert len(model.class_names) == 8
    assert [one.class_names for one in scored] == [data.dataset.class_names]
    assert len(data.dataset.class_names) < 8, "macro-F1 is not over classes that the photographs lack"


def test_a_draw_is_scored_once_and_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(settings, "EPOCHS", (2, 2))
    monkeypatch.setattr(choice, "PREDICTIONS", 1)
    monkeypatch.setattr(adaptation, "SCRATCH_IMAGES", 24)
    cells, model = write_photographs(tmp_path / "cells", class_files(8)), make_model(tmp_path / "model")
    out, picture = tmp_path / "out.jsonl", tmp_path / "figure.png"
    arguments = [str(cells), "--model", str(model), "--cells", "12", "--draws", "1", "--out", str(out)]
    assert main(arguments) == 0
    (line,) = out.read_text().splitlines()
    row = json.loads(line)
    assert (row["cells"], row["draw"]) == (12, 0)
    assert all(0 <= score <= 1 for kind in ("adapted", "scratch") for score in row[kind])
    assert main([*arguments, "--figure", str(picture)]) == 0
    assert out.read_text().splitlines() == [line]
    assert "from scratch" in capsys.readouterr().out
    assert picture.stat().st_size > 5000
