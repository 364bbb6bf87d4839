"""The page in a real browser: fields dropped, cells corrected, learned from, and counted again with the new model."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import waitress

from bloodtune.adaptation.learning import COMMAND, Learning
from bloodtune.inference.corrections import Corrections
from bloodtune.inference.predictor import Predictor
from bloodtune.serve import create_app
from field_fixtures import RED, Field
from learning_fixtures import stand_in, wait_for
from model_fixtures import make_model

pytestmark = pytest.mark.tools

LEARNED = ("monocyte", "neutrophil")
LOBES = ((-2.5, -1.5), (2.5, -1.5), (0, 2.8))


@pytest.fixture
def fields(tmp_path: Path) -> list[Path]:
    """Give five fields with four different cells each."""
    files = []
    for number in range(5):
        field = Field(96, 48).red_cells(*RED)
        for place in range(4):
            field.leukocyte(26 + 17 * place, 24, LOBES[: 2 + place % 2], 4.0 + 0.3 * number + 0.1 * place)
        files.append(tmp_path / f"field {number}.png")
        field.picture().save(files[-1])
    return files


@contextmanager
def learning_page(browser: Any, tmp_path: Path, command: Sequence[str] | None = None) -> Iterator[tuple[Any, Learning]]:
    """Open the page, whose ``command`` learns from corrections; None for the stand-in."""
    folder = make_model(tmp_path / "old")
    predictor, corrections = Predictor.load(folder), Corrections(tmp_path / "mine")
    learning = Learning(corrections, folder, predictor, command or stand_in(tmp_path, LEARNED))
    server = waitress.create_server(create_app(predictor, corrections, learning), host="127.0.0.1", port=0)
    threading.Thread(target=server.run, daemon=True).start()
    complaints: list[str] = []
    page = browser.new_context(viewport={"width": 1200, "height": 900}).new_page()
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(f"http://127.0.0.1:{server.effective_port}")
    yield page, learning
    assert complaints == []
    page.context.close()
    learning.stop()
    server.close()


def drop_and_correct(page: Any, fields: list[Path], cells: int = 20) -> None:
    page.check("#find")
    page.set_input_files("#files", fields)
    page.get_by_text("in 5 fields").wait_for()
    assert page.locator("#cells li").count() == 20
    assert page.locator("#fields figure").count() == 5
    for number in range(cells):
        card = page.locator("#cells li").nth(number)
        wanted = LEARNED[number % 2]
        if card.locator("select").input_value() == wanted:
            card.locator("button").click()
        else:
            card.locator("select").select_option(wanted)
    page.get_by_text(f"{cells} pictures stored.").wait_for()


def test_cells_of_fields_are_corrected_learned_and_counted_again(
    browser: Any, fields: list[Path], tmp_path: Path
) -> None:
    with learning_page(browser, tmp_path) as (page, _):
        page.get_by_text("0 pictures stored; learning needs 10").wait_for(state="attached")
        drop_and_correct(page, fields)
        assert (tmp_path / "mine" / "metadata.csv").read_text().count("\n") == 21
        page.locator("#filter").select_option("!")
        assert page.locator("#cells li").count() == 0, "all are corrected"
        page.click("#learn")
        page.get_by_text("40 %, 1 s left").wait_for()
        (tmp_path / "go").touch()
        page.get_by_text("new model, pictures held out").wait_for()
        assert page.locator("#scores tr").count() == 2
        assert "does not know basophil" in page.locator("#notes").inner_text()
        page.click("#accept")
        page.get_by_text("The model in use does not know basophil").wait_for()
        page.get_by_text("in 5 fields").wait_for()
        page.locator("#filter").select_option("")
        assert set(page.evaluate("images.map(image => image.class)")) <= set(LEARNED)
        chosen = page.locator("#cells select").evaluate_all("all => all.map(one => one.value)")
        assert chosen == [LEARNED[number % 2] for number in range(20)], "corrections stay"


def test_the_whole_way_with_the_real_command(browser: Any, fields: list[Path], tmp_path: Path) -> None:
    """Five fields, boxes, ten corrections, learning, the score of held-out corrections, the count of the new model."""
    with learning_page(browser, tmp_path, COMMAND) as (page, _):
        drop_and_correct(page, fields, cells=10)
        before = page.locator("#fields img").first.get_attribute("src")
        page.click("#learn")
        page.locator("#step").get_by_text(re.compile(r"^\d+ %, \d+ s left$")).wait_for(timeout=120_000)
        assert 0 < page.locator("#learned").evaluate("bar => bar.value") < 100
        page.get_by_text("new model, pictures held out").wait_for(timeout=120_000)
        names = page.locator("#scores td:first-child").all_inner_texts()
        assert names == ["new model, pictures held out", "old model, the same pictures"]
        assert "10 pictures learned from" in page.locator("#notes").inner_text()
        page.click("#accept")
        page.get_by_text("The model in use does not know basophil").wait_for()
        page.get_by_text("in 5 fields").wait_for()
        assert set(page.evaluate("images.map(image => image.class)")) <= set(LEARNED)
        assert page.locator("#fields img").first.get_attribute("src") != before, "boxes have the new classes"
        assert (tmp_path / "mine" / "models" / "1" / "MODEL_CARD.md").is_file()
        assert (tmp_path / "old" / "model.json").is_file(), "the old model stays"


def test_closing_the_page_ends_the_learning(browser: Any, fields: list[Path], tmp_path: Path) -> None:
    with learning_page(browser, tmp_path) as (page, learning):
        drop_and_correct(page, fields)
        page.click("#learn")
        page.get_by_text("40 %, 1 s left").wait_for()
        process = learning._process
        assert process is not None and process.poll() is None
        page.close()
        wait_for(lambda: process.poll() is not None)
        assert learning.state() == {"state": "idle"}


def test_pictures_worth_correcting_come_least_sure_first_from_each_class_in_turn(browser: Any, tmp_path: Path) -> None:
    seen = {
        "a": ("monocyte", 0.9),
        "b": ("monocyte", 0.6),
        "c": ("platelet", 0.7),
        "d": ("monocyte", 0.5),
        "e": ("platelet", 0.95),
        "f": ("basophil", 0.99),
    }
    answer = [
        {
            "file": name,
            "class": label,
            "probability": probability,
            "second": "neutrophil",
            "known": True,
            "sure": True,
            "second_probability": 0.1,
            "picture": "",
            "tile": "",
            "stored": None,
            "digest": name,
        }
        for name, (label, probability) in seen.items()
    ]
    with learning_page(browser, tmp_path) as (page, _):
        page.route("**/predict", lambda route: route.fulfill(json=answer))
        file = tmp_path / "x.jpg"
        file.touch()
        page.set_input_files("#files", [file])
        page.get_by_text("6 images, ").wait_for()
        page.locator("#filter").select_option("!")
        assert page.locator("#cells .file").all_inner_texts() == ["d", "c", "f", "b", "e", "a"]
