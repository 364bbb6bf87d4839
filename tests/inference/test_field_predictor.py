"""Fields of view through a model: cells at the scale of the training photographs, counts, and fields left out."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bloodtune.inference.differential import FieldCount, Prediction, Result, Unreadable
from bloodtune.inference.field_predictor import CROP_MICRONS, FieldPredictor
from bloodtune.inference.predictor import Image as Source
from bloodtune.inference.predictor import Predictor
from field_fixtures import Field, usual_field
from model_fixtures import make_model
from photograph_fixtures import bomb


@pytest.fixture(scope="module")
def predictor(tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    return Predictor.load(make_model(tmp_path_factory.mktemp("models") / "best"))


def save(file: Path, field: Field) -> Path:
    field.picture().save(file)
    return file


def count(predictor: Predictor, *files: Path, **options: object) -> list[Result]:
    return list(FieldPredictor(predictor, **options).predict(Source(str(file), file) for file in files))  # type: ignore[arg-type]


def test_each_cell_is_a_prediction_and_then_comes_the_field(predictor: Predictor, tmp_path: Path) -> None:
    two = usual_field().leukocyte(46, 35)
    files = save(tmp_path / "a.png", two), save(tmp_path / "b.png", usual_field().leukocyte(20, 1))
    results = count(predictor, *files)
    assert [type(one) for one in results] == [Prediction, Prediction, FieldCount, Prediction, FieldCount]
    first, second, field, _, other = results
    assert isinstance(first, Prediction) and isinstance(second, Prediction) and isinstance(field, FieldCount)
    assert (first.source, second.source) == (f"{files[0]}:cell 1", f"{files[0]}:cell 2")
    assert first.field == second.field == "a.png"
    assert first.box is not None and first.box != second.box
    assert (field.source, field.cells, field.cut, field.small, field.scale) == (str(files[0]), 2, 0, 1, "10 red cells")
    assert (field.drawn, field.preview) == (b"", b"")
    assert isinstance(other, FieldCount) and (other.cells, other.cut) == (1, 1)


@pytest.mark.parametrize("scale", [6, 12])
def test_the_crop_has_the_scale_of_the_training_photographs(
    predictor: Predictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scale: float
) -> None:
    seen: list[tuple[int, int]] = []

    def crop(part: Image.Image, *options: int) -> object:
        seen.append(part.size)
        return make_tile(part, *options)

    from bloodtune.inference.field_predictor import make_tile

    monkeypatch.setattr("bloodtune.inference.field_predictor.make_tile", crop)
    file = save(tmp_path / "a.png", usual_field(scale))
    count(predictor, file, microns_per_pixel=1 / scale)
    count(predictor, file, crop=50)
    assert seen == [(round(CROP_MICRONS * scale),) * 2, (50, 50)]


def test_beyond_the_border_is_background(predictor: Predictor, tmp_path: Path) -> None:
    file = save(tmp_path / "a.png", usual_field().leukocyte(7.5, 30))
    results = [one for one in count(predictor, file, preview=100) if isinstance(one, Prediction)]
    edge = min(results, key=lambda one: one.box or (0, 0, 0, 0))
    file.with_suffix(".jpg").write_bytes(edge.picture)
    left = np.asarray(Image.open(file.with_suffix(".jpg")))[:, :5].reshape(-1, 3)
    assert np.median(left, axis=0) == pytest.approx((203, 207, 204), abs=6)


def test_a_field_is_drawn_with_its_boxes(predictor: Predictor, tmp_path: Path) -> None:
    file = save(tmp_path / "a.png", usual_field().leukocyte(20, 1))
    field = count(predictor, file, drawn=True, page=300)[-1]
    assert isinstance(field, FieldCount)
    (tmp_path / "drawn.png").write_bytes(field.drawn)
    (tmp_path / "preview.jpg").write_bytes(field.preview)
    drawn = Image.open(tmp_path / "drawn.png")
    assert drawn.size == (640, 480)
    assert max(Image.open(tmp_path / "preview.jpg").size) == 300
    changed = np.asarray(drawn) != np.asarray(Image.open(file))
    assert 0.01 < changed.mean() < 0.2


def stack(file: Path) -> None:
    pages = [usual_field(4).picture()] * 3
    pages[0].save(file, save_all=True, append_images=pages[1:])


@pytest.mark.parametrize(
    ("name", "write", "reason"),
    [
        ("z.tif", stack, "several pictures (page 1); allowed: one per field, such as the sharpest plane of a z-stack"),
        ("scan.png", lambda file: file.write_bytes(bomb(20_000, 15_000).getvalue()), "too large; allowed: up to 64"),
        ("grey.png", lambda file: usual_field(4).picture().convert("L").save(file), "a grey picture; cells are found"),
        ("blue.png", lambda file: Image.new("RGB", (90, 90), "blue").save(file), "neither red cells nor stained"),
        ("text.jpg", lambda file: file.write_text("hello"), "not a JPEG, PNG, TIFF, BMP, WebP or GIF picture"),
    ],
)
def test_a_picture_that_is_no_field_is_one_line(
    predictor: Predictor, tmp_path: Path, name: str, write: object, reason: str
) -> None:
    write(tmp_path / name)  # type: ignore[operator]
    (result,) = count(predictor, tmp_path / name)
    assert isinstance(result, Unreadable)
    assert result.reason.startswith(reason) and "\n" not in result.reason


def test_images_of_an_npz_file_are_no_fields(predictor: Predictor) -> None:
    found = FieldPredictor(predictor).predict([Source("a.npz:test_images[0]", np.zeros((28, 28, 3), np.uint8))])
    assert [one.reason[:25] for one in found if isinstance(one, Unreadable)] == ["an image of an .npz file;"]
