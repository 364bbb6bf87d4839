"""Pages in a browser, and the local page that counts photographs."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import waitress

from bloodtune.inference.predictor import Predictor
from bloodtune.serve import create_app


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


@contextmanager
def served(predictor: Predictor) -> Iterator[str]:
    """Give the address of the local page, as `python -m bloodtune.serve` opens it."""
    server = waitress.create_server(create_app(predictor), host="127.0.0.1", port=0)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.effective_port}"
    server.close()
