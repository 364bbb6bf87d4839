"""The table in docs/reliability.md, of which each test of a fault writes its rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median

import pytest

from fault_fixtures import Row, Search, write_inputs

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reliability.md"
BEGIN, END = "<!-- written by make test-faults: begin -->\n", "<!-- end -->\n"
HEAD = "| fault | times | trials lost | trials duplicated | seconds to recover: median (longest) |\n"
ROWS = pytest.StashKey[dict[str, Row]]()


@pytest.fixture(scope="session")
def rows() -> Iterator[dict[str, Row]]:
    """Give the rows by their fault; those of the tests that ran replace the ones on the page."""
    rows: dict[str, Row] = {}
    yield rows
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    table, _, after = rest.partition(END)
    written = {line.split("|")[1].strip(): line for line in table.splitlines()[2:-1]}
    for row in rows.values():
        took = f"{median(row.seconds):.1f} ({max(row.seconds):.1f})" if row.seconds else ""
        written[row.fault] = f"| {row.fault} | {row.times} | {row.lost} | {row.duplicated} | {took} |"
    counts = [[int(cell) for cell in line.split("|")[2:5]] for line in written.values()]
    total = "| **all** | " + " | ".join(str(sum(column)) for column in zip(*counts, strict=True)) + " | |"
    lines = [HEAD.strip(), "|---|---|---|---|---|", *written.values(), total]
    PAGE.write_text(before + BEGIN + "\n".join(lines) + "\n" + END + after, encoding="utf-8")


@pytest.fixture
def row(rows: dict[str, Row]) -> Callable[[str], Row]:
    """Give the row of a fault by its name."""
    return lambda fault: rows.setdefault(fault, Row(fault))


@pytest.fixture
def search(tmp_path: Path) -> Iterator[Search]:
    """Give a search that has not begun; its driver is ended after the test."""
    search = Search(write_inputs(tmp_path))
    yield search
    if search.process and search.process.poll() is None:
        search.process.kill()
        search.process.communicate()
