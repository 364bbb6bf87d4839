"""A search to break."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from fault_fixtures import Search, row, rows, write_inputs

__all__ = ["row", "rows"]


@pytest.fixture
def search(tmp_path: Path) -> Iterator[Search]:
    """Give a search that has not begun; its driver is ended after the test."""
    search = Search(write_inputs(tmp_path))
    yield search
    if search.process and search.process.poll() is None:
        search.process.kill()
        search.process.communicate()
