"""The pages in a real browser: no complaint on its console, nothing that overflows, and what a click does."""

from __future__ import annotations

import dataclasses
import re
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
from field_fixtures import usual_field
from model_fixtures import draw_tiles, make_model, photograph
from report_fixtures import write

pytestmark = pytest.mark.tools

WIDTHS = (360, 1400)


@contextmanager
def opened(
    browser: Any, address: str, width: int, *, scripts: bool = True, complaint: str | None = None
) -> Iterator[Any]:
    """Open a page, and fail at the end if the browser complained or the page is wider than its window.

    A ``complaint`` is expected: each of the browser's has it.
    """
    complaints: list[str] = []
    context = browser.new_context(viewport={"width": width, "height": 800}, java_script_enabled=scripts)
    page = context.new_page()
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(address)
    yield page
    assert [text for text in complaints if complaint is None or complaint not in text] == []
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
        assert page.locator("html").evaluate("page => page.scrollWidth") <= width, "also with its list of classes"
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
        questions = []
        page.once("dialog", lambda dialog: (questions.append(dialog.message), dialog.accept()))
        page.click("#clear")
        assert page.locator("#result").is_hidden()
        assert questions == ["Start again without 1 corrected?"]


def test_a_bad_scale_is_refused_in_one_line_and_mended(browser: Any, address: str, tmp_path: Path) -> None:
    usual_field().picture().save(tmp_path / "a.png")
    with opened(browser, address, 1400, complaint="400") as page:
        assert page.locator("#microns").is_hidden()
        page.check("#find")
        page.fill("#microns", "0,1")
        page.set_input_files("#files", [tmp_path / "a.png"])
        page.get_by_text(
            "1 photograph waits: micrometres per pixel = '0,1': allowed are numbers from 0.01 to 1"
        ).wait_for()
        page.fill("#microns", "0.1")
        page.click("#again")
        page.get_by_text("0.100 µm per pixel (given)").wait_for()


def test_a_manual_count_is_compared_on_the_page_and_printed_without_controls(
    browser: Any, folder: Path, address: str
) -> None:
    with opened(browser, address, 1400) as page:
        page.set_input_files("#files", sorted((folder / "smears").glob("cell*")))
        page.get_by_text("9 images, ").wait_for()
        assert page.locator("th.manual").first.is_hidden()
        page.click("#beside")
        page.evaluate("for (const image of images) image.chosen = 'lymphocyte'")
        page.get_by_label("neutrophil, manual count").fill("500")
        page.keyboard.press("Tab")
        page.get_by_text("more than chance").first.wait_for()
        flagged = page.locator("#count tr.differs td:first-child").all_inner_texts()
        assert flagged == ["neutrophil", "lymphocyte"]
        with page.expect_download() as download:
            page.click("#table")
        assert ",manual,manual share," in Path(download.value.path()).read_text()
        page.emulate_media(media="print")
        for control in ("#drop", "#find", "#microns", "#crop", "#table", "#filter", "#beside"):
            assert page.locator(control).is_hidden(), control
        assert page.get_by_label("neutrophil, manual count").is_visible()
        page.emulate_media(media="screen")
        page.click("#beside")
        page.locator("#count tr.differs").first.wait_for(state="detached")


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


def test_a_dropped_folder_is_walked(browser: Any, folder: Path, address: str, tmp_path: Path) -> None:
    for place in ("a.JPG", "inner/b.jpg", "inner/deep/c.jpg", ".hidden/d.jpg"):
        (tmp_path / "cells" / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "cells" / place).write_bytes((folder / "smears" / "cell 0.jpg").read_bytes())
    (tmp_path / "cells" / "notes.txt").write_text("hello")
    (tmp_path / "empty").mkdir()
    with opened(browser, address, 1400) as page:
        dropped = {"items": [], "files": [str(tmp_path / "cells"), str(tmp_path / "empty")], "dragOperationsMask": 1}
        debugger = page.context.new_cdp_session(page)
        for kind in ("dragEnter", "dragOver", "drop"):
            debugger.send("Input.dispatchDragEvent", {"type": kind, "x": 400, "y": 250, "data": dropped})
        page.get_by_text("3 images, ").wait_for()
        names = page.locator("#cells .file").all_inner_texts()
        assert names == ["cells/a.JPG", "cells/inner/b.jpg", "cells/inner/deep/c.jpg"]
        errors = page.locator("#errors").inner_text()
        assert "cells: 2 files left out, such as .hidden" in errors and "empty: no photograph in this folder" in errors


def test_one_photograph_that_fails_loses_no_other(browser: Any, folder: Path, address: str) -> None:
    def fail(route: Any) -> None:
        bad = b"cell 3.jpg" in route.request.post_data_buffer
        route.fulfill(status=500, json={"error": "no memory"}) if bad else route.continue_()

    with opened(browser, address, 1400, complaint="500") as page:
        page.route("**/predict", fail)
        page.set_input_files("#files", sorted((folder / "smears").glob("*.jpg")))
        page.get_by_text("8 images, ").wait_for()
        errors = page.locator("#errors").inner_text().splitlines()
        assert errors == [
            "cell 3.jpg: no memory",
            "text.jpg: not a JPEG, PNG, TIFF, BMP, WebP or GIF picture",
        ]


def test_photographs_wait_for_a_server_that_is_away(browser: Any, folder: Path, address: str) -> None:
    with opened(browser, address, 1400, complaint="ERR_") as page:
        page.route("**/predict", lambda route: route.abort())
        page.set_input_files("#files", sorted((folder / "smears").glob("cell*.jpg")))
        page.get_by_text("9 photographs wait: the server does not answer").wait_for()
        page.unroute("**/predict")
        page.click("#again")
        page.get_by_text("9 images, ").wait_for()
        assert page.locator("#again").is_hidden()


def drop_many(page: Any, folder: Path, count: int) -> None:
    """Give the page files, of which the last is gone before its turn; answer as the server, which takes seconds."""
    seen = {"class": "monocyte", "probability": 0.6, "second": "platelet", "second_probability": 0.2, "picture": ""}
    files = [folder / f"{number:03}.jpg" for number in range(count)]

    def answer(route: Any) -> None:
        names = re.findall(rb'filename="(.+?)"', route.request.post_data_buffer)
        route.fulfill(json=[seen | {"file": one.decode(), "digest": "1", "sure": True, "known": True} for one in names])
        files[-1].unlink(missing_ok=True)

    for file in files:
        file.touch()
    page.route("**/predict", answer)
    page.set_input_files("#files", files)


def test_a_photograph_that_is_gone_loses_no_other(browser: Any, address: str, tmp_path: Path) -> None:
    with opened(browser, address, 1400) as page:
        drop_many(page, tmp_path, 70)
        page.get_by_text("69 images, ").wait_for()
        errors = page.locator("#errors li").all_inner_texts()
        assert any(text.startswith("069.jpg: the browser cannot read it: ") for text in errors)


def test_many_photographs_have_pages(browser: Any, address: str, tmp_path: Path) -> None:
    with opened(browser, address, 1400) as page:
        drop_many(page, tmp_path, 411)
        page.get_by_text("410 images, ").wait_for()
        assert page.locator("#errors li").count() == 101  # 409 copies, and the one that is gone
        assert page.locator("#errors li").last.inner_text() == "and 310 more"
        assert page.locator("#cells li").count() == 200 and page.locator("#previous").is_disabled()
        page.click("#next")
        page.click("#next")
        assert page.locator("#place").inner_text() == "401 to 410 of 410"
        assert page.locator("#cells .file").all_inner_texts()[-1] == "409.jpg" and page.locator("#next").is_disabled()
        page.locator("#filter").select_option("platelet")
        assert page.locator("#cells li").count() == 0 and page.locator("#pages").is_hidden()


@pytest.mark.parametrize("away", ["reload", "back"])
def test_a_reload_and_the_way_back_lose_no_correction(browser: Any, folder: Path, address: str, away: str) -> None:
    files = sorted((folder / "smears").glob("cell*.jpg"))
    with opened(browser, address, 1400) as page:
        questions = []
        page.on("dialog", lambda dialog: (questions.append(dialog.type), dialog.accept()))
        page.set_input_files("#files", files)
        page.get_by_text("9 images, ").wait_for()
        choice = page.locator("#cells select").nth(4)
        other = "platelet" if choice.input_value() != "platelet" else "monocyte"
        choice.select_option(other)
        if away == "reload":
            page.reload()
        else:
            page.goto("about:blank")
            page.go_back()
        assert questions == ["beforeunload"]
        if not page.locator("#cells li").count():  # else the browser kept the page as it was
            page.get_by_text("1 corrected before: drop these photographs again").wait_for()
            page.set_input_files("#files", files)
            page.get_by_text("9 images, ").wait_for()
        assert page.locator("#cells select").nth(4).input_value() == other
        assert page.locator("#cells li.corrected").count() == 1
