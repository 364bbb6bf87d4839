"""The pages in a real browser: no complaint on its console, nothing that overflows, and what a click does."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import waitress

from bloodtune.evaluate import main as evaluate
from bloodtune.inference.out_of_distribution import Guard
from bloodtune.inference.predictor import Predictor
from bloodtune.predict import main as predict
from bloodtune.serve import create_app
from model_fixtures import draw_tiles, make_model, photograph
from report_fixtures import write

pytestmark = pytest.mark.tools

WIDTHS = (360, 1400)


@contextmanager
def opened(browser: Any, address: str, width: int, *, scripts: bool = True) -> Iterator[Any]:
    """Open a page, and fail at the end if the browser complained or the page is wider than its window."""
    complaints: list[str] = []
    context = browser.new_context(viewport={"width": width, "height": 800}, java_script_enabled=scripts)
    page = context.new_page()
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(address)
    yield page
    assert complaints == []
    assert page.locator("html").evaluate("page => page.scrollWidth") <= width
    context.close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder with a model, photographs and the pages about them."""
    folder = tmp_path_factory.mktemp("pages")
    make_model(folder / "model")
    for seed in range(9):
        photograph(folder / "smears" / f"cell {seed}.jpg", seed)
    (folder / "smears" / "text.jpg").write_text("hello")
    write(folder)
    for seed in range(9):
        photograph(folder / "labelled" / ("monocyte" if seed % 2 else "platelet") / f"cell {seed}.jpg", seed)
    evaluate([str(folder / "labelled"), "--model", str(folder / "model"), "--html", str(folder / "evaluation.html")])
    predict([str(folder / "smears"), "--model", str(folder / "model"), "--html", str(folder / "count.html")])
    return folder


@contextmanager
def served(predictor: Predictor) -> Iterator[str]:
    """Give the address of the local page, as `python -m bloodtune.serve` opens it."""
    server = waitress.create_server(create_app(predictor), host="127.0.0.1", port=0)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.effective_port}"
    server.close()


@pytest.fixture(scope="module")
def address(folder: Path) -> Iterator[str]:
    with served(Predictor.load(folder / "model")) as address:
        yield address


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("page", ["report.html", "count.html", "evaluation.html"])
def test_a_page_fits_phone_and_desk_with_and_without_scripts(browser: Any, folder: Path, page: str, width: int) -> None:
    texts = []
    for scripts in (True, False):
        with opened(browser, (folder / page).as_uri(), width, scripts=scripts) as shown:
            texts.append(shown.locator("table").first.inner_text())
            broken = shown.locator("img").evaluate_all("all => all.filter(one => !one.naturalWidth).length")
            assert broken == 0
    assert texts[0] == texts[1] != ""


def test_the_tables_of_the_report_are_sorted_by_a_click(browser: Any, folder: Path) -> None:
    with opened(browser, (folder / "report.html").as_uri(), 1400) as page:
        table = page.locator("table").first
        column = table.locator("tbody td:nth-child(2)")
        before = column.all_inner_texts()
        for down in (False, True):
            table.locator("th").nth(1).click()
            numbers = [float(text.replace(",", "")) for text in column.all_inner_texts()]
            assert numbers == sorted(numbers, reverse=down)
        assert sorted(before) == sorted(column.all_inner_texts())


def test_the_mistakes_of_a_class_can_be_picked(browser: Any, folder: Path) -> None:
    with opened(browser, (folder / "report.html").as_uri(), 1400) as page:
        cells = page.locator(".cells li")
        total = cells.count()
        name = cells.first.get_attribute("data-actual")
        page.locator("#pick select").select_option(name)
        shown = page.locator(".cells li:visible")
        assert 0 < shown.count() < total
        for cell in shown.all():
            assert name in (cell.get_attribute("data-actual"), cell.get_attribute("data-predicted"))


@pytest.mark.parametrize("width", WIDTHS)
def test_photographs_are_counted_corrected_and_downloaded(browser: Any, folder: Path, address: str, width: int) -> None:
    with opened(browser, address, width) as page:
        page.set_input_files("#files", sorted((folder / "smears").iterdir()))
        page.get_by_text("9 images").wait_for()
        assert page.locator("#errors").inner_text() == "text.jpg: not a JPEG, PNG, TIFF, BMP, WebP or GIF picture"
        assert page.locator("#cells li").count() == 9
        choice = page.locator("#cells select").first
        other = "platelet" if choice.input_value() != "platelet" else "monocyte"
        before = int(page.locator(f"#count tr:has-text('{other}') td").nth(1).inner_text())
        choice.select_option(other)
        page.locator(f"#count tr:has-text('{other}') td:text-is('{before + 1}')").wait_for()
        with page.expect_download() as download:
            page.click("#list")
        rows = Path(download.value.path()).read_text().splitlines()
        assert len(rows) == 10 and rows[1].startswith(f"cell 0.jpg,{other},")
        with page.expect_download() as download:
            page.click("#table")
        assert "95 % CI" in Path(download.value.path()).read_text()
        page.locator("#filter").select_option(other)
        assert page.locator("#cells li:visible").count() == before + 1
        page.click("#clear")
        assert page.locator("#result").is_hidden()


def test_the_page_begins_with_an_alarm_if_the_images_are_unlike_the_training_images(browser: Any, folder: Path) -> None:
    predictor = Predictor.load(folder / "model")
    features = predictor.network.examine(draw_tiles(1))[1].shape[1]
    guard = Guard(np.zeros((1, features), np.float32), np.eye(features, dtype=np.float32), limit=-1.0)
    with served(dataclasses.replace(predictor, guard=guard)) as address, opened(browser, address, 1400) as page:
        page.set_input_files("#files", sorted((folder / "smears").glob("cell*")))
        page.get_by_text("9 of 9 images are unlike the training images: do not trust this count.").wait_for()
        page.click("#clear")
        page.set_input_files("#files", sorted((folder / "smears").glob("cell*"))[:2])
        page.get_by_text("2 images, 2 unsure").wait_for()
        assert page.locator("#alarm").is_hidden()


def test_photographs_can_be_dropped(browser: Any, folder: Path, address: str) -> None:
    content = list((folder / "smears" / "cell 0.jpg").read_bytes())
    with opened(browser, address, 1400) as page:
        transfer = page.locator("html").evaluate_handle(
            "(_, content) => { const all = new DataTransfer();"
            " all.items.add(new File([new Uint8Array(content)], 'a.jpg')); return all; }",
            content,
        )
        page.dispatch_event("#drop", "drop", {"dataTransfer": transfer})
        page.get_by_text("1 image, ").wait_for()
        assert page.locator("#cells .file").all_inner_texts() == ["a.jpg"]
