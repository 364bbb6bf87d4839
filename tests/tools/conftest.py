"""A browser, and pages to look at with it."""

from __future__ import annotations

import importlib.util
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bloodtune.evaluate import main as evaluate
from bloodtune.inference.predictor import Predictor
from bloodtune.predict import main as predict
from browser_fixtures import served
from model_fixtures import make_model, photograph
from report_fixtures import write

# Only `make test-tools` installs others' programs; without them pytest could not even read these tests.
collect_ignore_glob = [] if importlib.util.find_spec("playwright") else ["test_*.py"]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Give a headless Chromium: that of the system, or the one at $CHROMIUM."""
    from playwright.sync_api import sync_playwright

    found = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    if not found:
        pytest.skip("no Chromium here; $CHROMIUM says where one is")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield browser
        browser.close()


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


@pytest.fixture(scope="module")
def address(folder: Path) -> Iterator[str]:
    with served(Predictor.load(folder / "model")) as address:
        yield address
