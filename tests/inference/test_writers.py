"""The writers of a count, byte by byte, on predictions made by hand."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from bloodtune.inference import terminal_output as screen_module
from bloodtune.inference import writers
from bloodtune.inference.differential import FieldCount, Prediction, Result, Tally, Unreadable
from bloodtune.inference.terminal_output import Screen
from bloodtune.inference.writers import CsvFile, HtmlFile, JsonFile, as_mapping, with_picture
from model_fixtures import BLOOD

NAMES = ("benign", "malignant")
CAVEAT = "Trained on <one> stain."


def make_predictor(class_names: tuple[str, ...] = NAMES, **card: Any) -> Any:
    """Return what the writers read of a predictor."""
    card = {"label": "search #7", "run": "night", "configuration": {"family": "cnn"}, "data": {}} | card
    flags = {"synthetic": False, "untested": False, "caveat": CAVEAT}
    return SimpleNamespace(class_names=class_names, threshold=0.75, card=card, size=28, **flags)


def make_prediction(
    source: str, *probabilities: float, class_names: Sequence[str] = NAMES, picture: bytes = b""
) -> Prediction:
    """Make the prediction of an image; it is sure from 0.75 on."""
    order = np.argsort(probabilities)[::-1]
    label, second = class_names[order[0]], class_names[order[1]]
    values = np.array(probabilities, dtype=np.float32)
    return Prediction(source, label, second, values, bool(values.max() >= 0.75), source, picture)


def tally_of(results: Sequence[Prediction | Unreadable], class_names: tuple[str, ...] = NAMES) -> Tally:
    tally = Tally(class_names)
    for result in results:
        tally.add(result)
    return tally


def write(kind: Any, file: Path, results: Sequence[Prediction | Unreadable], predictor: Any = None) -> str:
    """Write results with one of the writers of files; return what is in the file."""
    predictor = predictor or make_predictor()
    with kind(file, predictor) as writer:
        for result in results:
            writer.add(result)
        writer.finish(tally_of(results, predictor.class_names))
    assert os.listdir(file.parent) == [file.name]
    return file.read_bytes().decode()


def show(capsys: pytest.CaptureFixture[str], results: Sequence[Prediction | Unreadable], **options: Any) -> str:
    """Print results as the command does; return the lines of the screen."""
    predictor = make_predictor(**options)
    screen = Screen(predictor)
    for result in results:
        screen.add(result)
    screen.finish(tally_of(results, predictor.class_names))
    return capsys.readouterr().out


SURE = make_prediction("cells/a, 1.jpg", 0.125, 0.875)
UNSURE = make_prediction("b.jpg", 0.625, 0.375)
TEXT = Unreadable("c.jpg", 'not a "picture"')


# CSV


def test_a_csv_file_has_a_row_for_every_file(tmp_path: Path) -> None:
    assert write(CsvFile, tmp_path / "a.csv", [SURE, UNSURE, TEXT]) == (
        "\ufefffile,class,probability,second,second_probability,sure,known,error,benign,malignant\n"
        '"cells/a, 1.jpg",malignant,0.875000,benign,0.125000,true,true,,0.125000,0.875000\n'
        "b.jpg,benign,0.625000,malignant,0.375000,false,true,,0.625000,0.375000\n"
        'c.jpg,,,,,,,"not a ""picture""",,\n'
    )


def test_a_csv_file_without_images_has_its_header(tmp_path: Path) -> None:
    assert write(CsvFile, tmp_path / "a.csv", []).splitlines() == [
        "\ufefffile,class,probability,second,second_probability,sure,known,error,benign,malignant"
    ]


# JSON


def test_a_json_file_has_the_model_the_images_and_the_count(tmp_path: Path) -> None:
    content = json.loads(write(JsonFile, tmp_path / "a.json", [SURE, UNSURE, TEXT]))
    names = [
        "model",
        "threshold",
        "warning",
        "images",
        "count",
        "unsure",
        "unknown",
        "alarm",
        "unreadable",
        "copies",
        "left_out",
    ]
    assert list(content) == names
    assert (content["model"]["label"], content["warning"]) == ("search #7", CAVEAT)
    assert content["images"] == [as_mapping(result, NAMES) for result in (SURE, UNSURE, TEXT)]
    assert [(row["class"], row["images"], row["value"], row["unit"]) for row in content["count"]] == [
        ("benign", 1, 50, "% of images"),
        ("malignant", 1, 50, "% of images"),
    ]
    assert (content["threshold"], content["unsure"], content["unreadable"]) == (0.75, 1, 1)


@pytest.mark.parametrize("results", [[], [SURE], [TEXT, TEXT]])
def test_a_json_file_can_be_read_whatever_the_number_of_images(tmp_path: Path, results: list[Any]) -> None:
    content = json.loads(write(JsonFile, tmp_path / "a.json", results))
    assert len(content["images"]) == len(results)
    assert content["unreadable"] == results.count(TEXT)


def test_an_image_as_a_json_object_has_six_decimals() -> None:
    third = make_prediction("a.jpg", 1 / 3, 2 / 3)
    assert as_mapping(third, NAMES) == {
        "file": "a.jpg",
        "class": "malignant",
        "probability": 0.666667,
        "second": "benign",
        "second_probability": 0.333333,
        "sure": False,
        "known": True,
        "probabilities": {"benign": 0.333333, "malignant": 0.666667},
    }
    assert as_mapping(TEXT, NAMES) == {"file": "c.jpg", "error": 'not a "picture"'}


def test_a_picture_is_added_in_base64() -> None:
    image = make_prediction("a.jpg", 0.2, 0.8, picture=b"\xff\xd8\xff")
    assert with_picture(image, NAMES) == as_mapping(image, NAMES) | {"digest": "a.jpg", "picture": "/9j/"}


# Files that are not complete


@pytest.mark.parametrize("kind", [CsvFile, JsonFile, HtmlFile])
def test_a_file_has_its_name_only_when_it_is_complete(tmp_path: Path, kind: Any) -> None:
    file = tmp_path / "a.out"
    file.write_text("an earlier count")
    with kind(file, make_predictor()) as writer:
        writer.add(SURE)
        assert sorted(os.listdir(tmp_path)) == [".a.out.part", "a.out"]
        assert file.read_text() == "an earlier count"
        writer.finish(tally_of([SURE]))
    assert os.listdir(tmp_path) == ["a.out"]
    assert file.read_text() != "an earlier count"


@pytest.mark.parametrize("kind", [CsvFile, JsonFile, HtmlFile])
def test_an_interruption_leaves_the_earlier_file(tmp_path: Path, kind: Any) -> None:
    file = tmp_path / "a.out"
    file.write_text("an earlier count")
    with contextlib.suppress(KeyboardInterrupt), kind(file, make_predictor()) as writer:
        writer.add(SURE)
        raise KeyboardInterrupt
    assert os.listdir(tmp_path) == ["a.out"]
    assert file.read_text() == "an earlier count"


def test_a_file_that_cannot_begin_leaves_nothing(tmp_path: Path) -> None:
    predictor = make_predictor(card_of=object())  # no JSON
    with pytest.raises(TypeError, match="not JSON serializable"), JsonFile(tmp_path / "a.json", predictor):
        pytest.fail("it has begun")
    assert os.listdir(tmp_path) == []


# HTML


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


def test_no_name_reaches_the_terminal_as_more_than_text(capsys: pytest.CaptureFixture[str]) -> None:
    names = ("\x1b[31mred\x07", "two\nlines")
    image = make_prediction("x/\u202e.jpg", 0.6, 0.4, class_names=names)
    out = show(capsys, [image, Unreadable("\x1b]0;title\x07.jpg", "a\x9bb")], class_names=names)
    assert not any(one in out for one in "\x1b\x07\x9b\u202e")
    for text in (r"\x1b[31mred\x07", r"two\nlines", r"\u202e.jpg", r"\x1b]0;title\x07.jpg: a\x9bb"):
        assert text in out


def test_a_page_warns_of_a_model_of_synthetic_images(tmp_path: Path) -> None:
    predictor = make_predictor()
    assert "synthetic" not in write(HtmlFile, tmp_path / "a.html", [SURE], predictor)
    predictor.synthetic = True
    assert "<strong>synthetic</strong> data" in write(HtmlFile, tmp_path / "a.html", [SURE], predictor)


# The screen


@pytest.fixture(autouse=True)
def _wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")


def test_the_screen_has_a_line_for_an_image_with_both_choices(capsys: pytest.CaptureFixture[str]) -> None:
    lines = [" ".join(line.split()) for line in show(capsys, [SURE, UNSURE]).splitlines()]
    assert "a, 1.jpg malignant 0.875 benign 0.125" in lines, "the file without its folder"
    assert "b.jpg benign ? 0.625 malignant 0.375" in lines


def test_the_screen_shows_unsure_images_once_where_all_images_fit(capsys: pytest.CaptureFixture[str]) -> None:
    out = show(capsys, [SURE, UNSURE])
    assert out.count("b.jpg") == 1
    assert "Not sure" not in out and "lists all" not in out
    assert out.endswith(f"For research, not for diagnosis.\n{CAVEAT}\n")


def test_the_screen_shows_unsure_images_that_come_late(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(screen_module, "SCREEN_IMAGES", 2)
    late = [make_prediction(f"late {number}.jpg", 0.6, 0.4) for number in range(3)]
    out = show(capsys, [SURE, SURE, SURE, *late, *[TEXT] * 3])
    assert "Not sure (below 0.75): check these yourself" in out
    assert "late 1.jpg" in out and "late 2.jpg" not in out
    assert "the first 2 of 6; --csv FILE or --json FILE lists all" in out
    assert "the first 2 of 3; --csv FILE or --json FILE lists all" in out
    assert out.count("c.jpg") == 2, "files that cannot be read have the same limit"


def test_the_screen_leaves_an_unsure_count_of_zero_empty(capsys: pytest.CaptureFixture[str]) -> None:
    lines = [" ".join(line.split()) for line in show(capsys, [SURE, UNSURE]).splitlines()]
    # Wilson's interval of 1 of 2.
    assert "benign 1 1 50.0 1.3–98.7 % of images" in lines
    assert "malignant 1 50.0 1.3–98.7 % of images" in lines


def test_the_screen_calls_a_count_of_blood_cells_a_differential(capsys: pytest.CaptureFixture[str]) -> None:
    cell = make_prediction("a.jpg", *[0.01] * 7, 0.93, class_names=BLOOD)
    assert "Differential count" in show(capsys, [cell], class_names=BLOOD)
    assert "Differential" not in show(capsys, [SURE])


def test_a_narrow_screen_cuts_no_flag_of_a_manual_count(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    tally = Tally(BLOOD, manual=Counter(lymphocyte=90, monocyte=10))
    tally.counts.update(monocyte=3, erythroblast=900)
    Screen(make_predictor()).finish(tally)
    assert "<0.001*" in capsys.readouterr().out


def test_the_screen_without_an_image_has_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert show(capsys, []) == "0 images counted, 0 of them unsure (below 0.75). For research, not for diagnosis.\n"


def test_the_screen_takes_names_as_text(capsys: pytest.CaptureFixture[str]) -> None:
    image = make_prediction("[red]a.jpg", 0.1, 0.9)
    assert "[red]a.jpg" in show(capsys, [image, Unreadable("[bold]b", "[i]damaged")])
    assert "[bold]b: [i]damaged" in show(capsys, [Unreadable("[bold]b", "[i]damaged")])


def write_fields(kind: Any, file: Path, results: Sequence[Result]) -> str:
    """Write cells and fields as ``predict --find`` does; return what is in the file."""
    tally = Tally(NAMES, finding=True)
    with kind(file, make_predictor(), True) as writer:
        for result in results:
            tally.add(result)
            writer.add(result)
        writer.finish(tally)
    return file.read_bytes().decode()


CELL = dataclasses.replace(make_prediction("f/a.jpg:cell 1", 0.9, 0.1), field="a.jpg", box=(1, 2, 30, 40))
FIELDS: list[Result] = [
    CELL,
    FieldCount("f/a.jpg", 1, 2, 3, 0.07, "12 red cells", (), b"png", b"jpg"),
    FieldCount("f/b.jpg", 0, 0, 1, 0.08, "nuclei", ("no nucleated cell", "<b>"), b"png", b"jpg"),
    Unreadable("f/c.jpg", "out of focus"),
]


def test_the_csv_file_has_the_place_of_each_cell_and_fields_without_one(tmp_path: Path) -> None:
    assert write_fields(CsvFile, tmp_path / "a.csv", FIELDS) == (
        "\ufefffile,field,box,class,probability,second,second_probability,sure,known,error,benign,malignant\n"
        'f/a.jpg:cell 1,a.jpg,"[1, 2, 30, 40]",benign,0.900000,malignant,0.100000,true,true,,0.900000,0.100000\n'
        "f/b.jpg,,,,,,,,,no nucleated cell; <b>,,\n"
        "f/c.jpg,,,,,,,,,out of focus,,\n"
    )


def test_the_json_file_has_the_place_of_each_cell_and_all_fields(tmp_path: Path) -> None:
    content = json.loads(write_fields(JsonFile, tmp_path / "a.json", FIELDS))
    cell, unreadable = content["images"]
    assert (cell["file"], cell["field"], cell["box"]) == ("f/a.jpg:cell 1", "a.jpg", [1, 2, 30, 40])
    assert unreadable == {"file": "f/c.jpg", "error": "out of focus"}
    assert content["fields"] == [
        {"file": "f/a.jpg", "cells": 1, "cut": 2, "small": 3, "microns_per_pixel": 0.07, "scale": "12 red cells"}
        | {"notes": []},
        {"file": "f/b.jpg", "cells": 0, "cut": 0, "small": 1, "microns_per_pixel": 0.08, "scale": "nuclei"}
        | {"notes": ["no nucleated cell", "<b>"]},
    ]


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


def test_the_screen_has_the_fields_to_check_first(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(screen_module, "SCREEN_IMAGES", 1)
    tally, screen = Tally(NAMES, finding=True), Screen(make_predictor())
    for result in FIELDS:
        tally.add(result)
        screen.add(result)
    screen.finish(tally)
    out = capsys.readouterr().out
    assert "b.jpg" in out and "1 of 2, those to check first; --json FILE lists all" in out
    assert "cells per field: 0.5 on average, 0 to 1" in out
    assert "f/c.jpg: out of focus" in out
    assert tally.fields[0].drawn == tally.fields[0].preview == b""
