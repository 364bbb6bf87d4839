"""Learning in the background: progress, scores, the end of its process, and who decides."""

from __future__ import annotations

from pathlib import Path

import PIL.Image
import pytest

from bloodtune.adaptation.learning import Learning
from bloodtune.errors import InputError
from bloodtune.inference.corrections import Corrections
from bloodtune.inference.field_pictures import as_png
from bloodtune.inference.predictor import Image, Predictor
from learning_fixtures import stand_in, wait_for
from model_fixtures import SIZE, draw_tiles, make_model

LEARNED = ("monocyte", "neutrophil")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("models") / "best")


@pytest.fixture
def learning(model: Path, tmp_path: Path) -> Learning:
    corrections = Corrections(tmp_path / "mine")
    for number, tile in enumerate(draw_tiles(21)):
        label = "basophil" if number == 20 else LEARNED[number % 2]
        corrections.add(as_png(PIL.Image.fromarray(tile)), label, (SIZE, SIZE))
    return Learning(corrections, model, Predictor.load(model), stand_in(tmp_path, LEARNED))


def test_progress_and_scores_are_said_and_the_model_is_accepted(
    learning: Learning, model: Path, tmp_path: Path
) -> None:
    learning.start()
    wait_for(lambda: learning.state().get("percent"))
    state = learning.state()
    assert (state["state"], state["percent"]) == ("running", 40)
    assert 0 < state["seconds"] < 60, "0.1 s for 40 percent"
    with pytest.raises(InputError, match="has not ended"):
        learning.start()
    with pytest.raises(InputError, match="there is no new model"):
        learning.accept()
    (tmp_path / "go").touch()
    wait_for(lambda: learning.state()["state"] != "running")
    state = learning.state()
    assert state["state"] == "ready", state
    assert "basophil" not in (tmp_path / "table.csv").read_text()
    assert (tmp_path / "table.csv").read_text().count("\n") == 21
    new, old = state["scores"]
    assert (new["accuracy"], new["macro_f1"], new["interval"]) == ("90.0", "80.0", "69.9–97.2")
    table = learning.corrections.labels()
    seen = Predictor.load(model).predict([Image(name, tmp_path / "mine" / name) for name in table])
    right = [table[one.source] == one.label for one in seen if table[one.source] != "basophil"]  # type: ignore[union-attr]
    assert old["accuracy"] == f"{100 * sum(right) / 20:.1f}"
    assert any("does not know basophil, eosinophil" in note for note in state["notes"])
    assert Path(state["folder"]) == tmp_path / "mine" / "models" / "1"
    assert learning.accept().class_names == LEARNED
    assert learning.state()["state"] == "used"


def test_an_error_is_said_in_its_own_words(learning: Learning, tmp_path: Path) -> None:
    (tmp_path / "go").write_text("no draw has every class in 2 folds")
    learning.start()
    wait_for(lambda: learning.state()["state"] != "running")
    assert learning.state() == {"state": "failed", "error": "no draw has every class in 2 folds"}
    (tmp_path / "go").write_text("")
    learning.start()
    wait_for(lambda: learning.state()["state"] != "running")
    assert learning.state()["state"] == "ready"


def test_a_stop_ends_the_process_and_nothing_is_accepted(learning: Learning) -> None:
    learning.start()
    wait_for(lambda: learning.state().get("percent"))
    process = learning._process
    assert process is not None and process.poll() is None
    learning.stop()
    assert process.poll() is not None
    assert learning.state() == {"state": "idle"}
    with pytest.raises(InputError, match="there is no new model"):
        learning.accept()


def test_too_few_corrections_are_said(model: Path, tmp_path: Path) -> None:
    learning = Learning(Corrections(tmp_path / "mine"), model, Predictor.load(model))
    with pytest.raises(InputError, match="0 pictures stored; learning needs 10 of those"):
        learning.start()
    assert not (tmp_path / "mine").exists()
