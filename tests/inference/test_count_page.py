"""The HTML page of a count: lists, pictures, fields, and names as text."""

from __future__ import annotations

from pathlib import Path

import pytest

from bloodtune.inference import writers
from bloodtune.inference.differential import Prediction, Unreadable
from bloodtune.inference.writers import HtmlFile
from writer_fixtures import FIELDS, SURE, TEXT, UNSURE, make_prediction, make_predictor, write, write_fields


def test_a_page_shows_unsure_images_apart_and_sure_ones_by_class(tmp_path: Path) -> None:
    page = write(HtmlFile, tmp_path / "a.html", [SURE, UNSURE, TEXT])
    headings = [part.partition("</h2>")[0] for part in page.split("<h2>")[1:]]
    assert headings == ["Check these yourself", "malignant", "Files that could not be read"]
    assert "Unsure images: 1." in page
    assert "2 images counted, 1 of them unsure (below 0.75); 1 file could not be read." in page
    assert "For research, not for diagnosis." in page
    assert '<p class="warning">Trained on &lt;one&gt; stain.</p>' in page


def test_a_page_shows_the_first_pictures_of_each_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writers, "PAGE_IMAGES", 2)
    results: list[Prediction | Unreadable] = [
        *(make_prediction(f"sure {number}.jpg", 0.1, 0.9) for number in range(5)),
        *(make_prediction(f"unsure {number}.jpg", 0.4, 0.6) for number in range(4)),
        *(Unreadable(f"text {number}.jpg", "damaged") for number in range(3)),
    ]
    page = write(HtmlFile, tmp_path / "a.html", results)
    assert page.count("<img ") == 4
    assert "The first 2 of 5." in page
    assert "Unsure images: 4; the first 2 are shown." in page
    assert "text 1.jpg" in page and "text 2.jpg" not in page
    assert "9 images counted" in page and "3 files could not be read" in page


def test_a_page_says_that_all_are_shown_by_saying_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writers, "PAGE_IMAGES", 2)
    page = write(HtmlFile, tmp_path / "a.html", [SURE, SURE, UNSURE, UNSURE])
    assert "first" not in page


def test_a_page_takes_names_as_text(tmp_path: Path) -> None:
    names = ("<b>", "a & b")
    image = make_prediction("x/<script>.jpg", 0.9, 0.1, class_names=names)
    results: list[Prediction | Unreadable] = [image, Unreadable("<i>.jpg", "<u>")]
    page = write(HtmlFile, tmp_path / "a.html", results, make_predictor(names, label="<em>"))
    for text in ("<script>.jpg", "<b></h2>", "<i>", "<u>", "<em>"):
        assert text not in page
    assert "&lt;script&gt;.jpg" in page and "a &amp; b" in page


def test_a_page_warns_of_a_model_of_synthetic_images(tmp_path: Path) -> None:
    predictor = make_predictor()
    assert "synthetic" not in write(HtmlFile, tmp_path / "a.html", [SURE], predictor)
    predictor.synthetic = True
    assert "<strong>synthetic</strong> data" in write(HtmlFile, tmp_path / "a.html", [SURE], predictor)


def test_the_page_has_the_fields_with_their_counts_and_notes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = write_fields(HtmlFile, tmp_path / "a.html", FIELDS)
    assert page.count("<figure>") == 2 and page.count("data:image/jpeg;base64,anBn") == 2
    assert "1 cell, 2 cut by the border, 3 small stained objects; 0.070 µm per pixel (from 12 red cells)" in page
    assert "no nucleated cell" in page and "&lt;b&gt;" in page and "<b>" not in page
    assert "1 cell in 2 fields (2 more cut by a border, 1 field without one) counted" in page
    assert "Files that could not be counted" in page
    monkeypatch.setattr(writers, "PAGE_FIELDS", 1)
    page = write_fields(HtmlFile, tmp_path / "a.html", FIELDS)
    assert page.count("<figure>") == 1 and "The first 1 of 2 fields are shown." in page
