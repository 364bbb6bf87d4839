"""The command that counts: what it prints and writes, and what it says to bad input."""

import base64
import csv
import io
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from bloodtune.inference import writers
from bloodtune.predict import main
from model_fixtures import BLOOD, make_model, photograph

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("models") / "best")


@pytest.fixture(scope="module")
def smears(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder of seven photographs and a text file that says it is one."""
    folder = tmp_path_factory.mktemp("smears") / "Größe & [b] 1"
    for seed in range(7):
        photograph(folder / f"cell {seed}.jpg", seed)
    (folder / "text.jpg").write_text("hello")
    return folder


@pytest.fixture
def run(model: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Give the command with the model; it returns its exit code and what it printed."""
    monkeypatch.setenv("COLUMNS", "80")

    def run(*arguments: object, model: Path = model) -> tuple[int, str, str]:
        try:
            code = main([*map(str, arguments), "--model", str(model)])
        except SystemExit as error:
            code = int(str(error.code))
        return code, *capsys.readouterr()

    return run


def test_a_folder_is_counted_on_the_screen(run: Run, smears: Path) -> None:
    code, out, err = run(smears)
    assert (code, err) == (0, "")
    assert "Differential count" in out and "% of leukocytes" in out and "per 100 leukocytes" in out
    assert out.count("cell ") == 7
    assert "text.jpg: not a JPEG, PNG, TIFF or BMP picture" in out
    assert "7 images counted" in out and "1 file could not be read" in " ".join(out.split())
    assert "not for diagnosis" in " ".join(out.split())
    assert max(map(len, out.replace("text.jpg", "\n").splitlines())) <= 80
    assert "…" not in out


def test_of_many_images_the_screen_shows_the_first_and_the_unsure(
    run: Run, smears: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writers, "SCREEN_IMAGES", 2)
    _, out, _ = run(smears, "--threshold", "1")
    assert "the first 2 of 7; --csv FILE or --json FILE lists all" in out
    assert "Not sure (below 1.00): check these yourself" in out


def test_the_files_say_the_same(run: Run, smears: Path, tmp_path: Path) -> None:
    files = {kind: tmp_path / f"count ü.{kind}" for kind in ("csv", "json", "html")}
    code, _, err = run(smears, *(word for kind, file in files.items() for word in (f"--{kind}", file)))
    assert (code, err.count("written")) == (0, 3)
    assert sorted(os.listdir(tmp_path)) == sorted(file.name for file in files.values())
    content = json.loads(files["json"].read_text())
    rows = list(csv.DictReader(files["csv"].open()))
    assert [row["file"] for row in rows] == [image["file"] for image in content["images"]]
    for row, image in zip(rows, content["images"], strict=True):
        if image.get("error"):
            assert row["error"] == image["error"] and row["class"] == ""
            continue
        assert (row["class"], row["second"]) == (image["class"], image["second"])
        assert {name: float(row[name]) for name in BLOOD} == image["probabilities"]
        assert float(row[row["class"]]) == image["probability"] == max(image["probabilities"].values())
        assert image["sure"] == (image["probability"] >= content["threshold"]) == (row["sure"] == "true")
    counted = {row["class"]: row["images"] for row in content["count"]}
    assert sum(counted.values()) == 7
    assert content["model"]["label"] == "search #7"
    page = files["html"].read_text()
    pictures = page.split("data:image/jpeg;base64,")[1:]
    assert len(pictures) == 7
    assert Image.open(io.BytesIO(base64.b64decode(pictures[0].partition('"')[0]))).size == (96, 96)
    assert "&amp; [b] 1" in page and "text.jpg" in page and "http" not in page


def test_a_model_of_other_classes_counts_without_a_differential(run: Run, smears: Path, tmp_path: Path) -> None:
    other = make_model(tmp_path / "other", class_names=("malignant", "benign"))
    code, out, _ = run(smears, model=other)
    assert code == 0
    assert "% of images" in out and "leukocytes" not in out and "Differential" not in out


def test_a_model_of_synthetic_data_says_so(run: Run, smears: Path, tmp_path: Path) -> None:
    data = {"title": "synthetic", "synthetic": True}
    _, _, err = run(smears, model=make_model(tmp_path / "stand-in", data=data))
    assert "SYNTHETIC" in err


def test_bad_input_is_one_line_and_exit_code_2(run: Run, smears: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "model.json").write_text("{")
    cases = [
        ([], "no photograph, folder or .npz file given"),
        ([tmp_path / "empty"], "no photograph in this folder"),
        ([tmp_path / "none.jpg"], "no such file or folder"),
        ([smears, "--threshold", "1.5"], "allowed are numbers from 0 to 1"),
        ([smears, "--crop", "0"], "allowed are whole numbers from 1"),
        ([smears, "--csv", tmp_path], "is a folder"),
        ([smears, "--csv", tmp_path / "none" / "a.csv"], "there is no folder"),
        ([smears, "--export", "onnx"], "--export takes no photographs"),
        (["--export", "onnx", "--threshold", "0.3"], "--threshold cannot be given with --export"),
        ([smears, "--csv", tmp_path / "o.txt", "--json", tmp_path / "o.txt"], "need different files"),
        ([smears, "--export", "pickle"], "invalid choice"),
    ]
    for arguments, expected in cases:
        code, out, err = run(*arguments)
        assert (code, out, err.count("\n")) == (2, "", 1), arguments
        assert expected in err
    for folder, expected in ((tmp_path / "none", "no model in"), (tmp_path / "broken", "no model in")):
        code, _, err = run(smears, model=folder)
        assert (code, err.count("\n")) == (2, 1)
        assert expected in err and "`make summarize` writes models" in err


def test_nothing_readable_is_exit_code_1(run: Run, tmp_path: Path) -> None:
    (tmp_path / "text.jpg").write_text("hello")
    code, out, _ = run(tmp_path)
    assert code == 1
    assert "0 images counted" in out


def test_what_cannot_be_written_leaves_no_file_behind(
    run: Run, smears: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(writers.CsvFile, "add", full)
    code, _, err = run(smears, "--csv", tmp_path / "a.csv")
    assert (code, os.listdir(tmp_path)) == (1, [])
    assert "No space left on device" in err
