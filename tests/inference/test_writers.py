"""The writers of a count, byte by byte, on predictions made by hand."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from typing import Any

import pytest

from bloodtune.inference.writers import CsvFile, HtmlFile, JsonFile, as_mapping, with_picture
from writer_fixtures import (
    CAVEAT,
    FIELDS,
    NAMES,
    SURE,
    TEXT,
    UNSURE,
    make_prediction,
    make_predictor,
    tally_of,
    write,
    write_fields,
)

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
