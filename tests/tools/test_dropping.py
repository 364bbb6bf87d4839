"""Photographs dropped on the page in a real browser: many, folders, failures, and the way back to them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from browser_fixtures import opened

pytestmark = pytest.mark.tools


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
