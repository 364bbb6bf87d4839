"""Names of classes and data from a stranger's folder: text in each file of the report, and nothing else."""

from __future__ import annotations

import csv
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from bloodtune.run.directory import PROVENANCE
from figures.classification import confusion_matrices, first_samples
from figures.style import save_figure, to_svg
from report.markdown import to_markdown
from report.material import Material
from report.outline import compose
from report.page import write_page
from strange_names import STRANGE
from summary_fixtures import fake_contenders, fake_provenance, fake_run, make_summary
from tables.all_tables import all_tables, write_tables


class Text(HTMLParser):
    """Collects the tags and the text of a page outside its scripts and styles."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        if self.tags[-1:] not in (["script"], ["style"]):
            self.text += data


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> Material:
    classes = len(STRANGE)
    tested, labels, _ = fake_contenders(classes=classes)
    run = fake_run(tmp_path_factory.mktemp("strange") / "a_run")
    provenance = fake_provenance(False, STRANGE)
    provenance["data"] |= {"title": STRANGE[0] + STRANGE[4] + STRANGE[8]}
    provenance["data"]["class_counts"] = {split: list(range(1, classes + 1)) for split in ("train", "val", "test")}
    run.write_json(PROVENANCE, provenance)
    summary = make_summary(run, tested, labels, STRANGE)
    return Material(summary, all_tables(summary, np.random.default_rng(0)), {})


@pytest.fixture(scope="module")
def folder(material: Material, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("written")
    write_tables(material.tables, folder)
    report = compose(material)
    write_page(material.summary, report, folder)
    (folder / "report.md").write_text(to_markdown(report), encoding="utf-8")
    return folder


def test_the_page_shows_names_as_text(folder: Path) -> None:
    page = (folder / "report.html").read_text(encoding="utf-8")
    shown = Text()
    shown.feed(page)
    assert shown.tags.count("script") == 1, "the page's own"
    assert not re.search("[\x00-\x09\x0b-\x1f\u202e]", page)
    for name in ("<script>alert(1)</script>", r"\input{/etc/passwd}", r"a\u202etxt.exe", r"two\nlines", "&#8238;"):
        assert name in shown.text


def test_markdown_has_no_tag_link_formula_or_line_of_a_name(folder: Path) -> None:
    for file in folder.glob("*.md"):
        text = file.read_text(encoding="utf-8")
        assert not re.search(r"(?<!\\)(<script|`rm|\$x|&#8238)|\]\(java|\nlines|[\x00-\x09\x1b\u202e]", text)
    assert r"two\\nlines" in text


def test_no_cell_of_a_csv_file_is_a_formula(folder: Path) -> None:
    cells = set()
    for file in folder.glob("*.csv"):
        with file.open(encoding="utf-8", newline="") as stream:
            cells |= {cell for row in csv.reader(stream) for cell in row}
    assert {"'=1+1", "'@SUM(A1)"} <= cells
    numbers = re.compile(r"-?[\d.e-]+")
    assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@")) and not numbers.fullmatch(cell)]


def test_latex_has_no_command_of_a_name(folder: Path) -> None:
    for file in folder.glob("*.tex"):
        text = file.read_text(encoding="utf-8")
        assert r"\input" not in text
        assert not re.search(r"(?<!\\)[#%]|[\x00-\x09\x1b\u202e`]|two\nlines", text)


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")
def test_latex_with_such_names_compiles(folder: Path, tmp_path: Path) -> None:
    inputs = "\n".join(rf"\input{{{file}}}" for file in sorted(folder.glob("*.tex")))
    document = rf"\documentclass{{article}}\usepackage{{booktabs}}\begin{{document}}{inputs}\end{{document}}"
    (tmp_path / "all.tex").write_text(document)
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "all.tex"]
    assert subprocess.run(command, cwd=tmp_path, capture_output=True, check=False).returncode == 0


def test_figures_take_such_names(material: Material, tmp_path: Path) -> None:
    summary = material.summary
    drawn = first_samples(summary.train.images, summary.train.labels, summary.class_names, "x")
    matrix = confusion_matrices("x", [summary.best], summary.test.labels, summary.class_names, "x")
    for name, figure in (("samples", drawn), ("matrix", matrix)):
        save_figure(figure, tmp_path, name)
        assert "\x1b" not in figure.caption + figure.note
        assert "<script" not in to_svg(figure)
