"""The command that counts: what it prints and writes, and what it says to bad input."""

import base64
import csv
import io
import json
import os
from pathlib import Path

import pytest
from PIL import Image

from bloodtune.data import photographs
from bloodtune.data.picture_files import heic_readable
from bloodtune.inference import terminal_output as screen_module
from bloodtune.inference import writers
from bloodtune.predict import main
from command_fixtures import Run, with_model
from field_fixtures import RED, Field, usual_field
from model_fixtures import BLOOD, draw_tiles, make_model, photograph


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
    return with_model(main, model, capsys)


def test_a_folder_is_counted_on_the_screen(run: Run, smears: Path) -> None:
    code, out, err = run(smears)
    assert (code, err) == (0, "")
    assert "Differential count" in out and "% of leukocytes" in out and "per 100 leukocytes" in out
    assert out.count("cell ") == 7
    assert "text.jpg: not a JPEG, PNG, TIFF, BMP, WebP or GIF picture" in out
    assert "7 images counted" in out and "1 file could not be read" in " ".join(out.split())
    assert "not for diagnosis" in " ".join(out.split())
    assert max(map(len, out.replace("text.jpg", "\n").splitlines())) <= 80
    assert "…" not in out


def test_of_many_images_the_screen_shows_the_first_and_the_unsure(
    run: Run, smears: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(screen_module, "SCREEN_IMAGES", 2)
    _, out, _ = run(smears, "--threshold", "1", "--json", tmp_path / "all.json")
    assert out.count("the first 2 of 7; --csv FILE or --json FILE lists all") == 1, "the first are the unsure ones"
    first = [one["probability"] for one in json.loads((tmp_path / "all.json").read_text())["images"][:2]]
    threshold = sum(first) / 2
    _, out, _ = run(smears, "--threshold", threshold)
    assert f"Not sure (below {threshold:.2f}): check these yourself" in out


def test_the_files_say_the_same(run: Run, smears: Path, tmp_path: Path) -> None:
    files = {kind: tmp_path / f"count ü.{kind}" for kind in ("csv", "json", "html")}
    code, _, err = run(smears, *(word for kind, file in files.items() for word in (f"--{kind}", file)))
    assert (code, err.count("written")) == (0, 3)
    assert sorted(os.listdir(tmp_path)) == sorted(file.name for file in files.values())
    content = json.loads(files["json"].read_text())
    rows = list(csv.DictReader(files["csv"].open(encoding="utf-8-sig")))
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


def test_a_manual_count_stands_beside_ours_everywhere(run: Run, smears: Path, tmp_path: Path) -> None:
    manual, page, cells = tmp_path / "manual.csv", tmp_path / "count.html", tmp_path / "cells.json"
    manual.write_text("class,count\nSeg,90\nNRBC,900\n")
    code, out, _ = run(str(smears), "--manual", str(manual), "--html", str(page), "--json", str(cells))
    rows = json.loads(cells.read_text())["manual"]
    assert code == 0 and (rows[0]["class"], rows[0]["manual"]["images"]) == ("neutrophil", 90)
    assert "Manual count beside this one" in out and "Manual count beside this one" in page.read_text()
    code, _, err = run(str(smears), "--manual", str(tmp_path / "none.csv"), "--html", str(tmp_path / "other.html"))
    assert code == 2 and err.count("\n") == 1 and not (tmp_path / "other.html").exists()


def test_a_model_of_synthetic_data_says_so(run: Run, smears: Path, tmp_path: Path) -> None:
    data = {"title": "synthetic", "synthetic": True}
    _, _, err = run(smears, model=make_model(tmp_path / "stand-in", data=data))
    assert "SYNTHETIC" in err


def test_a_model_without_a_guard_says_so_once(run: Run, smears: Path, tmp_path: Path) -> None:
    code, _, err = run(smears, model=make_model(tmp_path / "old", guarded=False))
    assert code == 0 and err.count("this model has no guard") == 1


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
        ([smears, "--export", "onnx"], "--export takes photographs only with --int8, which calibrates with them"),
        (["--export", "onnx", "--int8"], "--int8 needs photographs to calibrate with"),
        ([smears, "--int8"], "--int8 needs --export onnx"),
        (["--export", "onnx", "--threshold", "0.3"], "--threshold cannot be given with --export"),
        ([smears, "--csv", tmp_path / "o.txt", "--json", tmp_path / "o.txt"], "need different files"),
        ([smears, "--export", "pickle"], "invalid choice"),
    ]
    for arguments, expected in cases:
        code, out, err = run(*arguments)
        assert (code, out, err.count("\n")) == (2, "", 1), arguments
        assert expected in err
    for folder, expected in ((tmp_path / "none", "no model in"), (tmp_path / "broken", "is damaged: ")):
        code, _, err = run(smears, model=folder)
        assert (code, err.count("\n")) == (2, 1)
        assert expected in err and "a summary writes models, and --model runs/latest" in err


def test_the_folders_are_walked_once(run: Run, smears: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    walked = []
    walk = photographs._walk
    monkeypatch.setattr(photographs, "_walk", lambda paths: walked.append(paths) or walk(paths))
    assert run(smears)[0] == 0
    assert len(walked) == 1


def test_a_model_without_a_threshold_is_exported_with_one_that_is_given(run: Run, tmp_path: Path) -> None:
    model = make_model(tmp_path / "bare", threshold=None)
    code, _, err = run("--export", "onnx", model=model)
    assert code == 2 and "has no threshold for unsure predictions; give --threshold P" in err
    code, _, err = run("--export", "onnx", "--threshold", "0.25", "--out", tmp_path / "out", model=model)
    assert (code, err.count("written")) == (0, 2), err
    card = (tmp_path / "out" / "MODEL_CARD.md").read_text()
    assert "| threshold | 0.2500: given at the export; the model has none of its own |" in card


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


def test_every_page_of_a_file_is_counted_and_what_is_not_counted_is_said(run: Run, tmp_path: Path) -> None:
    tiles = list(map(Image.fromarray, draw_tiles(3)))
    folder = tmp_path / "smears"
    folder.mkdir()
    tiles[0].save(folder / "stack.tif", save_all=True, append_images=tiles[1:])
    tiles[1].save(folder / "copy.png")
    tiles[2].rotate(90).quantize().save(folder / "moving.gif", save_all=True, append_images=[tiles[2].quantize()])
    for name in ("a.txt", "b.TXT", "c.mov"):
        (folder / name).write_text("")
    files = {kind: tmp_path / f"cells.{kind}" for kind in ("csv", "json", "html")}
    code, out, _ = run(
        folder, folder / "copy.png", *(word for kind, file in files.items() for word in (f"--{kind}", file))
    )
    assert code == 0
    names = [Path(row["file"]).name for row in csv.DictReader(files["csv"].open(encoding="utf-8-sig"))]
    assert names == ["copy.png", "moving.gif:frame 1 of 2", *(f"stack.tif:page {page}" for page in (1, 2, 3))]
    counted = "5 images counted, "
    said = "1 image is a copy; 4 files left out: 2 .txt, 1 .mov, 1 given twice"
    assert counted in " ".join(out.split()) and said in " ".join(out.split())
    assert f"stack.tif:page 2: the same picture as {folder / 'copy.png'}; both are counted" in " ".join(out.split())
    assert counted in files["html"].read_text() and said in files["html"].read_text()
    content = json.loads(files["json"].read_text())
    assert content["left_out"] == {".txt": 2, ".mov": 1, "given twice": 1}
    assert [Path(copy["file"]).name for copy in content["copies"]] == ["stack.tif:page 2"]


def test_excel_shows_umlauts_and_runs_no_formula(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("=1+1.jpg", "+a.jpg", "-a.jpg", "@SUM(A1).jpg", "ü.jpg")
    for name in names:
        photograph(tmp_path / name)
    other = make_model(tmp_path / "other", class_names=("=HYPERLINK()", "zellen ü"))
    monkeypatch.chdir(tmp_path)
    assert (
        run(*(Path(".") / name if name[0] != "-" else "./" + name for name in names), "--csv", "a.csv", model=other)[0]
        == 0
    )
    content = (tmp_path / "a.csv").read_bytes()
    assert content.startswith("\ufefffile,class,".encode())
    header, *rows = csv.reader(content.decode("utf-8-sig").splitlines())
    assert header[-2:] == ["'=HYPERLINK()", "zellen ü"]
    assert sorted(row[0] for row in rows) == sorted(["'=1+1.jpg", "'+a.jpg", "'-a.jpg", "'@SUM(A1).jpg", "ü.jpg"])
    assert all(row[1] in ("'=HYPERLINK()", "zellen ü") for row in rows)


def test_the_way_to_read_heic_is_shown_whole(run: Run, tmp_path: Path) -> None:
    photograph(tmp_path / "a.jpg")
    (tmp_path / "b.heic").write_text("")
    _, out, _ = run(tmp_path)
    assert heic_readable() or "1 .heic (readable with the extra heic: pip install -e '.[heic]')" in " ".join(
        out.split()
    )


@pytest.fixture(scope="module")
def fields(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder with a field of one cell, a field without any, and a picture that is no field."""
    folder = tmp_path_factory.mktemp("fields") / "slide 1"
    folder.mkdir()
    usual_field(6).picture().save(folder / "a.png")
    Field(64, 48, 6).red_cells(*RED).picture().save(folder / "b.png")
    Image.new("RGB", (300, 200), "white").save(folder / "c.png")
    return folder


def test_cells_of_fields_are_counted_and_drawn(run: Run, fields: Path, tmp_path: Path) -> None:
    file, boxes = tmp_path / "a.json", tmp_path / "boxes"
    code, out, err = run(fields, "--find", "--json", file, "--boxes", boxes)
    assert (code, err.count("written")) == (0, 2)
    said = " ".join(out.split())
    assert "1 cell in 2 fields (1 field without one) counted" in said
    assert "1 file could not be counted" in said and "c.png: neither red cells nor stained nuclei" in said
    assert sorted(os.listdir(boxes)) == ["a.png", "b.png"]
    content = json.loads(file.read_text())
    assert [(one["file"].rpartition("/")[2], one.get("field")) for one in content["images"]] == [
        ("a.png:cell 1", "a.png"),
        ("c.png", None),
    ]
    assert [one["cells"] for one in content["fields"]] == [1, 0]
    left, top, right, bottom = content["images"][0]["box"]
    assert left < 180 < right and top < 144 < bottom


def test_a_given_scale_is_that_of_the_fields(run: Run, fields: Path, tmp_path: Path) -> None:
    run(fields / "a.png", "--find", "--microns-per-pixel", "0.2", "--json", tmp_path / "a.json")
    (field,) = json.loads((tmp_path / "a.json").read_text())["fields"]
    assert (field["microns_per_pixel"], field["scale"]) == (0.2, "given")


def test_without_a_cell_the_code_is_1(run: Run, fields: Path) -> None:
    code, out, _ = run(fields / "b.png", "--find")
    assert code == 1
    assert "0 cells in 1 field (1 field without one) counted" in " ".join(out.split())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--boxes", "out"], "--boxes and --microns-per-pixel need --find"),
        (["--microns-per-pixel", "0.1"], "--boxes and --microns-per-pixel need --find"),
        (["--find", "--microns-per-pixel", "0"], "'0': allowed are numbers from 0.01 to 1"),
        (["--find", "--microns-per-pixel", "70"], "'70': allowed are numbers from 0.01 to 1"),
        (["--find", "--microns-per-pixel", "nan"], "'nan': allowed are numbers from 0.01 to 1"),
        (["--find", "--boxes", __file__], "is not a writable folder"),
    ],
)
def test_flags_of_fields_that_do_not_fit(run: Run, fields: Path, options: list[str], message: str) -> None:
    code, out, err = run(fields, *options)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert message in err
