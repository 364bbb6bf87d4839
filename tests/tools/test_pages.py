"""The pages in a real browser: no complaint on its console, nothing that overflows, and what a click does."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bloodtune.inference.out_of_distribution import Guard
from bloodtune.inference.predictor import Predictor
from browser_fixtures import opened, served
from field_fixtures import usual_field
from model_fixtures import draw_tiles

pytestmark = pytest.mark.tools

WIDTHS = (360, 1400)


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
