"""The command that scores a model on labelled images: what it prints and writes, and what it says to bad input."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bloodtune.evaluate import main
from bloodtune.inference.predictor import classify
from command_fixtures import Run, with_model
from model_fixtures import BLOOD, draw_tiles, make_model, photograph


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("models") / "best")


@pytest.fixture(scope="module")
def cells(tmp_path_factory: pytest.TempPathFactory, model: Path) -> Path:
    """Give 24 photographs in folders of the classes that the model predicts, but for two."""
    made = tmp_path_factory.mktemp("made")
    for seed in range(24):
        photograph(made / f"{seed:02}.png", seed)
    folder = tmp_path_factory.mktemp("cells")
    for number, one in enumerate(classify(made, model)):
        label = one.label if number >= 2 else BLOOD[(BLOOD.index(one.label) + 1) % 8]  # type: ignore[union-attr]
        name = {"immature granulocyte": "ig"}.get(label, label.title())
        (folder / name).mkdir(exist_ok=True)
        Path(one.source).rename(folder / name / Path(one.source).name)
    return folder


@pytest.fixture
def run(model: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("COLUMNS", "120")
    return with_model(main, model, capsys)


def result(run: Run, folder: Path, *arguments: object, **options: Path) -> dict:  # type: ignore[type-arg]
    code, _, err = run(*arguments, "--json", folder / "out.json", **options)
    assert code == 0, err
    content: dict = json.loads((folder / "out.json").read_text())  # type: ignore[type-arg]
    return content


def test_a_folder_of_classes_is_scored_on_the_screen(run: Run, cells: Path) -> None:
    code, out, err = run(cells)
    assert (code, err) == (0, "")
    assert "24 images" in out and "accuracy" in out and "91.7" in out and "macro-F1" in out
    assert "calibration error" in out and "kept by the threshold" in out
    assert "Confusion matrix" in out and "Count" in out and "not for diagnosis" in out


def test_images_that_may_be_those_of_the_training_are_said(run: Run, cells: Path, tmp_path: Path) -> None:
    data = {"title": cells.name, "split_sizes": {"train": 17, "val": 2, "test": 5}}
    trained = make_model(tmp_path / "own", data=data)
    said = f"the model was trained on 17 images of a data set named {cells.name}: if they are among"
    assert said in run(cells, model=trained)[1]
    assert "the model was trained on" not in run(cells)[1]
    with_splits = tmp_path / "splits" / cells.name
    shutil.copytree(cells, with_splits / "test")
    shutil.copytree(cells, with_splits / "train")
    assert "the model was trained on" not in run(with_splits, model=trained)[1], "only the test split is evaluated"


def test_the_files_say_the_same(run: Run, cells: Path, tmp_path: Path) -> None:
    files = {kind: tmp_path / f"out.{kind}" for kind in ("csv", "json", "html")}
    code, _, err = run(cells, *(word for kind, file in files.items() for word in (f"--{kind}", file)))
    assert (code, err.count("written")) == (0, 3)
    content = json.loads(files["json"].read_text())
    assert files["csv"].read_bytes().startswith(b"\xef\xbb\xbffile,"), "Excel reads umlauts after a byte order mark"
    rows = list(csv.DictReader(files["csv"].open(encoding="utf-8-sig")))
    assert content["images"] == len(rows) == np.sum(content["confusion_matrix"]) == 24
    assert sum(row["correct"] == "true" for row in rows) == 22
    value, low, high = content["scores"]["accuracy"]
    assert value == pytest.approx(22 / 24) and low < value < high <= 1
    assert sum(row["images"] for row in content["classes"]) == 24
    counted = {row["true"]["label"]: (row["true"]["images"], row["predicted"]["images"]) for row in content["count"]}
    matrix = np.array(content["confusion_matrix"])
    assert counted == {n: (int(t), int(p)) for n, t, p in zip(BLOOD, matrix.sum(1), matrix.sum(0), strict=True)}
    page = files["html"].read_text()
    assert page.count("data:image/jpeg;base64,") == 2 and "Wrong: 2" in page and "http" not in page
    assert page.count('alt="what the network looked at"') == len(set(re.findall('image/png;base64,([^"]+)', page))) == 2


def test_one_table_and_one_npz_file_give_the_scores_of_the_folder(run: Run, cells: Path, tmp_path: Path) -> None:
    expected = result(run, tmp_path, cells)["confusion_matrix"]
    files = [(file, file.parent.name) for file in sorted(cells.rglob("*.png"))]
    lines = [f"{os.path.relpath(file, tmp_path)},{label}" for file, label in files]
    table = tmp_path / "table.csv"
    table.write_text("\n".join(["file_name,label", *lines]))
    assert result(run, tmp_path, table)["confusion_matrix"] == expected
    number = {label: index for index, label in enumerate(sorted({label for _, label in files}))}
    lines = [f"{os.path.relpath(file, tmp_path)},{number[label]},{label}" for file, label in files]
    (tmp_path / "labels.csv").write_text("\n".join(["file,label,class", *lines]))
    assert result(run, tmp_path, tmp_path)["confusion_matrix"] == expected, "numbers with names beside them"


def test_an_npz_file_is_scored_on_its_test_split_with_its_own_class_names(
    run: Run, model: Path, tmp_path: Path
) -> None:
    tiles = draw_tiles(12)
    np.savez(tmp_path / "tiles.npz", images=tiles)
    labels = [BLOOD.index(one.label) for one in classify(tmp_path / "tiles.npz", model)]  # type: ignore[union-attr]
    arrays = {"train_images": tiles[:2], "train_labels": np.zeros(2, int), "test_images": tiles}
    np.savez(tmp_path / "cells.npz", test_labels=np.array(labels), **arrays)
    content = result(run, tmp_path, tmp_path / "cells.npz")
    assert (content["images"], content["scores"]["accuracy"][0]) == (12, 1.0)
    assert content["notes"][0] == "only the test split is evaluated"
    assert "the file does not name its classes" in content["notes"][1]
    names = [*reversed(BLOOD)]
    turned = np.array([7 - label for label in labels])
    np.savez(tmp_path / "named.npz", test_labels=turned, class_names=np.array(names), **arrays)
    assert result(run, tmp_path, tmp_path / "named.npz")["scores"]["accuracy"][0] == 1.0


def test_splits_of_folders_leave_only_the_test_split(run: Run, cells: Path, tmp_path: Path) -> None:
    for number, file in enumerate(sorted(cells.rglob("*.png"))):
        place = tmp_path / "set" / ("train" if number < 10 else "test") / file.parent.name
        place.mkdir(parents=True, exist_ok=True)
        (place / file.name).write_bytes(file.read_bytes())
    content = result(run, tmp_path, tmp_path / "set")
    assert (content["images"], content["notes"][0]) == (14, "only the test split is evaluated")


def test_unknown_and_absent_classes_are_named(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "set"
    for seed in range(6):
        photograph(folder / "Monocytes" / f"{seed}.png", seed)
    photograph(folder / "blast" / "9.png", 9)
    (folder / "Monocytes" / "text.jpg").write_text("hello")
    content = result(run, tmp_path, folder)
    assert content["images"] == 6
    assert content["unknown"] == {"blast": 1}
    notes = " ".join(content["notes"])
    assert "left out, of classes that the model does not know: 'blast' (1 image)" in notes
    others = 6 - content["confusion_matrix"][5][5]
    assert f"predictions of them count as errors: {others}" in notes and "basophil" in notes
    assert "left out, could not be read: 1 file, such as " in notes
    assert [Path(one["file"]).name for one in content["unreadable"]] == ["text.jpg"]
    recall = content["classes"][0]["recall"][0]
    assert content["scores"]["accuracy"][0] == pytest.approx(recall) == pytest.approx(1 - others / 6)


def test_every_page_of_a_file_has_the_class_of_the_file(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "set"
    pages = [Image.open(photograph(tmp_path / f"{seed}.png", seed)) for seed in range(3)]
    (folder / "monocyte").mkdir(parents=True)
    pages[0].save(folder / "monocyte" / "stack: a.tif", save_all=True, append_images=pages[1:])
    photograph(folder / "platelet" / "a.png", 9)
    content = result(run, tmp_path, folder, "--html", tmp_path / "out.html")
    assert content["images"] == 4 and [row["images"] for row in content["classes"]] == [3, 1]


def test_files_that_are_not_read_are_said(run: Run, cells: Path, tmp_path: Path) -> None:
    shutil.copytree(cells, tmp_path / "set")
    (tmp_path / "set" / "Monocyte" / "notes.txt").parent.mkdir(exist_ok=True)
    (tmp_path / "set" / "Monocyte" / "notes.txt").write_text("hello")
    assert "1 file left out: 1 .txt" in result(run, tmp_path, tmp_path / "set")["notes"]


def test_a_model_of_a_search_says_so(run: Run, cells: Path, tmp_path: Path) -> None:
    make_model(tmp_path / "run" / "model")
    card = tmp_path / "run" / "model" / "model.json"
    card.write_text(json.dumps(json.loads(card.read_text()) | {"search": {"trial": 1}}))
    code, _, err = run(cells, model=tmp_path / "run")
    assert code == 0 and "neither retrained nor tested" in err


def test_bad_input_is_one_line_and_exit_code_2(run: Run, cells: Path, tmp_path: Path) -> None:
    for name in ("empty", "flat", "strange/blast"):
        (tmp_path / name).mkdir(parents=True)
    photograph(tmp_path / "flat" / "a.png")
    photograph(tmp_path / "strange" / "blast" / "a.png")
    (tmp_path / "columns.csv").write_text("name,kind\na.png,monocyte\n")
    (tmp_path / "gone.csv").write_text("file,label\nz.png,monocyte\n")
    (tmp_path / "none.csv").write_text("")
    np.savez(tmp_path / "bare.npz", images=draw_tiles(2))
    np.savez(tmp_path / "high.npz", test_images=draw_tiles(2), test_labels=np.array([0, 9]))
    np.savez(tmp_path / "small.npz", test_images=draw_tiles(2)[:, :12, :12], test_labels=np.array([0, 1]))
    cases = [
        ([tmp_path / "absent"], "no such folder, table (.csv) or .npz file"),
        ([tmp_path / "empty"], "no photograph in this folder"),
        ([tmp_path / "flat"], "there is no metadata.csv or labels.csv; allowed: CLASS/photograph"),
        ([tmp_path / "strange"], "has the classes 'blast'; the model knows basophil, "),
        ([tmp_path / "columns.csv"], "has the columns name, kind; needed: one of file_name, file"),
        ([tmp_path / "none.csv"], "has the columns none"),
        ([tmp_path / "gone.csv"], "none of its first 1 file"),
        ([tmp_path / "bare.npz"], "has no labels; allowed: arrays such as test_images"),
        ([tmp_path / "high.npz"], "has labels 0 to 9; allowed: 0 to 7"),
        ([tmp_path / "small.npz"], "has images of (12, 12, 3); this model takes (28, 28, 3)"),
        ([cells, "--threshold", "2"], "allowed are numbers from 0 to 1"),
        ([cells, "--csv", tmp_path], "is a folder"),
        ([cells, "--csv", tmp_path / "o", "--json", tmp_path / "o"], "need different files"),
    ]
    before = sorted(tmp_path.rglob("*"))
    for arguments, expected in cases:
        code, out, err = run(*arguments)
        assert (code, out, err.count("\n")) == (2, "", 1), (arguments, err)
        assert expected in err
    assert sorted(tmp_path.rglob("*")) == before


def test_a_folder_without_a_readable_photograph_is_exit_code_1(run: Run, tmp_path: Path) -> None:
    (tmp_path / "monocyte").mkdir()
    (tmp_path / "monocyte" / "a.png").write_text("hello")
    code, out, err = run(tmp_path)
    assert (code, out) == (1, "")
    assert "none of 1 images could be read, such as " in err
