"""A saved model whose network is the user's own: it predicts where the module is there, and says so where not."""

import json
from pathlib import Path

import numpy as np
import pytest

from bloodtune import predict
from bloodtune.inference.classifier import Classifier
from bloodtune.inference.default_model import CARD
from model_fixtures import make_model, photograph


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return make_model(tmp_path / "best", family="own_networks:small")


def test_a_saved_network_of_ones_own_gives_the_same_probabilities(model: Path, tmp_path: Path) -> None:
    classifier = Classifier.load(model)
    assert classifier.configuration.family == "own_networks:small"
    images = np.random.default_rng(0).integers(0, 256, (5, 28, 28, 3), dtype=np.uint8)
    classifier.save(tmp_path / "again")
    np.testing.assert_array_equal(Classifier.load(tmp_path / "again").predict(images), classifier.predict(images))


def test_photographs_are_counted_with_it(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photograph(tmp_path / "a.png")
    assert predict.main([str(tmp_path / "a.png"), "--model", str(model)]) == 0
    assert "a.png" in capsys.readouterr().out


def test_a_module_that_is_not_here_is_named_in_one_line(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    card = json.loads((model / CARD).read_text())
    card["configuration"]["family"] = "gone.nets:small"
    (model / CARD).write_text(json.dumps(card))
    assert predict.main(["a.png", "--model", str(model)]) == 2
    err = capsys.readouterr().err
    assert len(err.splitlines()) == 1
    assert "family = 'gone.nets:small': gone.nets cannot be imported: ModuleNotFoundError: No module named" in err
