"""analysis/report/page.py: the report as one file that needs nothing from elsewhere."""

from __future__ import annotations

import dataclasses
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from report.material import Material
from report.outline import compose
from report.page import write_page
from report_fixtures import write

VOID = {"meta", "link", "img", "br", "input", "hr"}


class Checker(HTMLParser):
    """Notes elements that are not closed, ids that are there twice, and links that lead nowhere or elsewhere."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.targets: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        if tag not in VOID:
            self.open.append(tag)
        self.ids += [str(value) for name, value in attributes if name == "id"]
        self.targets += [str(value) for name, value in attributes if name in ("href", "src", "xlink:href")]

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attributes)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Material]:
    return write(tmp_path_factory.mktemp("page"))


@pytest.fixture(scope="module")
def page(written: tuple[str, Material]) -> str:
    return written[0]


def test_the_page_is_whole_and_needs_nothing_from_elsewhere(page: str) -> None:
    checker = Checker()
    checker.feed(page)
    assert checker.open == []
    sections = [name for name in checker.ids if re.fullmatch(r"s\d+", name)]
    assert len(sections) == len(set(sections)) == 9
    outside = [t for t in checker.targets if not t.startswith(("data:", "#"))]
    assert outside == []
    assert set(re.findall(r'href="#(s\d+)"', page)) == set(sections)


def test_the_story_is_that_of_the_report(page: str, written: tuple[str, Material]) -> None:
    titles = re.findall(r'<h2 id="s\d+">(.*?)</h2>', page)
    assert titles == [section.heading for section in compose(written[1]).sections]
    assert page.count("<figure ") == 2 and page.count('<div class="figures"><figure style="--width:479px">') == 1
    (pair,) = (part for part in page.split('<div class="tables">') if "Table 1." in part)
    assert "Table 2." in pair.partition("<h2")[0], "side by side with the table before it"
    assert "A &lt;b&gt; &amp; c." in page
    assert page.count("<table>") == page.count('<div class="scroll"><table>') > 10
    assert "![" not in page and "figures/" not in page


def test_each_trial_says_what_it_is_under_the_pointer(page: str, written: tuple[str, Material]) -> None:
    search = written[1].summary.search
    titles = re.findall(r'<g class="trial"><title>trial (\d+), ', page)
    assert set(map(int, titles)) == set(search.curves.trial)


def test_every_mistake_is_a_picture_the_surest_first(page: str, written: tuple[str, Material]) -> None:
    summary = written[1].summary
    test, probabilities = summary.test, summary.best.median_probabilities
    wrong = np.flatnonzero(probabilities.argmax(axis=1) != test.labels)
    rows = [int(row) for row in re.findall(r'alt="test image (\d+)"', page)]
    assert sorted(rows) == wrong.tolist()[: len(rows)] and len(rows) == min(len(wrong), 240)
    confidence = probabilities[rows].max(axis=1)
    assert (np.diff(confidence) <= 0).all()
    assert f"<p>{len(wrong):,} images" in page


def test_beside_every_mistake_is_what_the_network_looked_at(page: str, written: tuple[str, Material]) -> None:
    pairs = re.findall(r'<div class="pair"><img [^>]*alt="test image \d+">\n<img [^>]*alt="what the netw', page)
    assert len(pairs) == page.count('alt="test image') == len(written[1].summary.mistakes[:240])
    assert "what the network looked at for the predicted class: bright counted most, dark not at all." in page


def test_a_mistake_in_a_folder_has_the_name_of_its_photograph(written: tuple[str, Material], tmp_path: Path) -> None:
    files = tuple(f"ig/{row} <b>.png" for row in range(len(written[1].summary.test.labels)))
    summary = dataclasses.replace(written[1].summary, test_files=files)
    page = write_page(summary, compose(written[1]), tmp_path).read_text(encoding="utf-8")
    first = summary.mistakes[0]
    assert page.count(f">ig/{first} &lt;b&gt;.png</span>") == 1 and "test image " not in page


def test_without_heat_maps_the_mistakes_stand_alone(written: tuple[str, Material], tmp_path: Path) -> None:
    file = write_page(written[1].summary, compose(written[1]), tmp_path)
    page = file.read_text(encoding="utf-8")
    assert 'alt="test image' in page and "looked at" not in page


def test_synthetic_data_is_named_at_the_top_and_other_classes_do_without_papers(tmp_path: Path) -> None:
    page, *_ = write(tmp_path, synthetic=True, classes=2)
    assert "<strong>Synthetic data:</strong>" in page
    assert "on synthetic data</h1>" in page
