"""Fields of view: cells found in drawn fields of three stains and several scales, and pictures that are no fields."""

import numpy as np
import pytest

from bloodtune.errors import InputError
from bloodtune.inference import fields
from bloodtune.inference.differential import Box
from bloodtune.inference.fields import find
from field_fixtures import STAINS, Field, usual_field


def middle(box: Box, scale: float) -> tuple[float, float]:
    """Return the middle of a box in µm."""
    return (box[0] + box[2]) / 2 / scale, (box[1] + box[3]) / 2 / scale


@pytest.mark.parametrize("stain", STAINS)
@pytest.mark.parametrize("scale", [4, 10, 14])
def test_a_segmented_nucleus_is_one_cell_in_every_stain_and_scale(stain: str, scale: float) -> None:
    found = find(usual_field(scale, stain).pixels())
    assert len(found.cells) == 1 and found.cut == []
    assert middle(found.cells[0], scale) == pytest.approx((30, 24), abs=1)
    assert found.small == 1
    left, top, right, bottom = (side / scale for side in found.cells[0])
    assert 8 < right - left < 15 and 8 < bottom - top < 15


@pytest.mark.parametrize("scale", [4, 10, 14])
@pytest.mark.parametrize("stain", ["grey", "cream"])
def test_the_scale_is_that_of_the_red_cells(stain: str, scale: float) -> None:
    found = find(usual_field(scale, stain).pixels())
    assert found.scale.source == "10 red cells"
    assert found.scale.microns_per_pixel == pytest.approx(1 / scale, rel=0.12)
    assert found.notes == ()


def test_a_field_without_stained_red_cells_has_the_scale_of_its_nuclei() -> None:
    field = Field(40, 40, 8, "yellow").leukocyte(12, 12, lobe=9).leukocyte(28, 28, lobe=10)
    found = find(field.pixels())
    assert found.scale.source == "nuclei"
    assert found.scale.microns_per_pixel == pytest.approx(1 / 8, rel=0.25)
    assert len(found.cells) == 2
    assert found.notes == ("no red cells to measure: the scale comes from nuclei and may be wrong by a quarter",)


def test_touching_cells_are_two() -> None:
    field = usual_field().leukocyte(24, 36, lobe=10).leukocyte(34.5, 36, lobe=10)
    found = find(field.pixels())
    assert sorted(round(middle(box, 10)[0]) for box in found.cells) == pytest.approx([24, 30, 34], abs=1)


def test_a_cell_cut_by_the_border_is_left_out_and_listed() -> None:
    found = find(usual_field().leukocyte(30, 1).pixels())
    assert len(found.cells) == 1
    assert len(found.cut) == 1 and found.cut[0][1] == 0


@pytest.mark.parametrize("given", [0.1, 0.125])
def test_a_given_scale_is_used(given: float) -> None:
    found = find(usual_field().pixels(), given)
    assert (found.scale.microns_per_pixel, found.scale.source) == (given, "given")
    assert len(found.cells) == 1


def test_with_a_wrong_scale_a_nucleus_is_too_small() -> None:
    found = find(usual_field().pixels(), 0.03)
    assert found.cells == [] and found.notes == ("no nucleated cell",)
    assert found.small > 0


def test_a_field_without_leukocytes_has_none() -> None:
    found = find(Field(64, 48).red_cells((10, 10), (25, 12), (40, 30), (50, 12), (12, 35), (26, 30)).pixels())
    assert (found.cells, found.cut, found.notes) == ([], [], ("no nucleated cell",))


def test_strips_find_what_the_whole_picture_has(monkeypatch: pytest.MonkeyPatch) -> None:
    field = Field(40, 200, 5).red_cells((30, 20), (30, 70), (30, 110), (32, 150))
    for y in range(10, 200, 18):
        field.leukocyte(15, y, lobe=9)
    image = field.pixels()
    whole = find(image, 0.2)
    monkeypatch.setattr(fields, "_STRIP", 1)
    assert sorted(find(image, 0.2).cells) == sorted(whole.cells)
    assert len(whole.cells) == 11


def skin() -> np.ndarray:
    """Return a face: an oval of skin with eyes, mouth and hair before a dark wall."""
    y, x = np.mgrid[:240, :320]
    image = np.empty((240, 320, 3))
    image[:] = 90, 110, 140
    face = ((x - 160) / 75) ** 2 + ((y - 120) / 100) ** 2 < 1
    image[face] = 224, 172, 140
    image[face & (y < 55)] = 50, 30, 25
    for eye in (130, 190):
        image[((x - eye) / 12) ** 2 + ((y - 95) / 6) ** 2 < 1] = 60, 40, 30
    image[((x - 160) / 25) ** 2 + ((y - 165) / 7) ** 2 < 1] = 170, 70, 80
    return np.clip(image + np.random.default_rng(0).normal(0, 4, image.shape), 0, 255).astype(np.uint8)


def gradient() -> np.ndarray:
    ramp = np.linspace(0, 255, 320).astype(np.uint8)
    return np.stack(np.broadcast_arrays(ramp[None], ramp[:240, None], 255 - ramp[None]), axis=2)


@pytest.mark.parametrize(
    ("image", "reason"),
    [
        (skin(), "hardly any background"),
        (gradient(), "hardly any background"),
        (np.random.default_rng(0).integers(0, 256, (240, 320, 3), dtype=np.uint8), "hardly any background"),
        (np.full((240, 320, 3), 255, np.uint8), "neither red cells nor stained nuclei"),
        (np.zeros((9, 9, 3), np.uint8), "neither red cells nor stained nuclei"),
        (usual_field(6, "cream").pixels(blur=2.5), "out of focus: edges are [0-9.]+ µm wide; allowed: up to 2.0"),
    ],
    ids=["face", "gradient", "noise", "white", "black", "blurred"],
)
def test_a_picture_that_is_no_field_is_refused(image: np.ndarray, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        find(image)


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (300, 1), (3, 3)])
def test_a_tiny_picture_is_refused_or_empty(shape: tuple[int, int]) -> None:
    image = np.random.default_rng(1).integers(0, 256, (*shape, 3), dtype=np.uint8)
    assert find(image, 0.1).cells == []
    with pytest.raises(
        InputError, match=r"^neither red cells nor stained nuclei, so this is no field of a stained smear$"
    ):
        find(image)
