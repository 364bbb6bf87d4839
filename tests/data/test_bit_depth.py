"""Pictures of cameras that use some of 16 bits: never black, never by a rule that hot pixels break."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from bloodtune.data.photographs import read_tile
from error_fixtures import refusal
from model_fixtures import draw_tiles
from sixteen_bit_fixtures import png16, tiff

FORMS: dict[str, Callable[[np.ndarray], io.BytesIO]] = {
    "PNG": png16,
    "TIFF": tiff,
    "TIFF, high byte first": lambda values: tiff(values, byteorder=">"),
    "TIFF, compressed": lambda values: tiff(values, compression="zlib", predictor=True),
}


def tile(file: io.BytesIO, channels: int = 3) -> np.ndarray:
    return read_tile(file, size=28, channels=channels)[0]


def of_depth(bits: int, picture: np.ndarray) -> np.ndarray:
    """Return a picture of 8 bits as a camera of ``bits`` bits gives it: uint16."""
    return np.round(picture.astype(float) / 255 * (2**bits - 1)).astype(np.uint16)


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
@pytest.mark.parametrize("form", FORMS)
def test_a_colour_picture_of_a_camera_of_any_depth_is_the_picture_of_8_bits(form: str, bits: int) -> None:
    picture = draw_tiles(1)[0]
    np.testing.assert_array_equal(tile(FORMS[form](of_depth(bits, picture))), picture)


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
@pytest.mark.parametrize("form", FORMS)
def test_a_grey_picture_too(form: str, bits: int) -> None:
    picture = draw_tiles(1)[0][..., 0]
    np.testing.assert_array_equal(tile(FORMS[form](of_depth(bits, picture)), channels=1)[..., 0], picture)


@pytest.mark.parametrize("form", FORMS)
def test_hot_pixels_become_white_and_change_no_other_pixel(form: str) -> None:
    for picture in (draw_tiles(1)[0], draw_tiles(1)[0][..., 0]):
        values = of_depth(12, picture)
        values[3, 4] = values[20, 9] = 65535
        found = tile(FORMS[form](values), channels=1 if picture.ndim == 2 else 3).squeeze().copy()
        assert (found[3, 4] == 255).all() and (found[20, 9] == 255).all()
        found[3, 4], found[20, 9] = picture[3, 4], picture[20, 9]
        np.testing.assert_array_equal(found, picture)


def test_the_whole_picture_decides_not_the_part_that_is_cut_out() -> None:
    values = np.full((60, 60, 3), 60_000, np.uint16)
    values[16:44, 16:44] = 700
    assert set(read_tile(tiff(values), size=28, channels=3, crop=28)[0].ravel()) == {3}


def test_what_is_transparent_is_white_and_does_not_decide_the_depth() -> None:
    picture = np.dstack([draw_tiles(1)[0], np.full((28, 28), 255, np.uint8)])
    values = of_depth(12, picture)
    values[..., 3] = 65535
    for file in (png16(values), tiff(values, extrasamples=["unassalpha"])):
        np.testing.assert_array_equal(tile(file), picture[..., :3])
    values[:, :14, 3] = 0
    assert (tile(png16(values))[:, :14] == 255).all()


def test_inverted_grey_is_turned_round() -> None:
    picture = draw_tiles(1)[0][..., 0]
    file = tiff(of_depth(12, 255 - picture), photometric="miniswhite")
    assert np.abs(tile(file, channels=1)[..., 0].astype(int) - picture).max() <= 5  # white is where 99 % are


def test_four_inks_of_16_bits_are_read_as_inks() -> None:
    inks = np.zeros((28, 28, 4), np.uint16)
    inks[..., 1:3] = 65535
    assert tuple(tile(tiff(inks, photometric="separated"))[0, 0]) == (255, 0, 0)


def test_a_picture_turned_by_the_camera_is_turned() -> None:
    picture = draw_tiles(1)[0]
    for values in (picture, of_depth(12, picture)):
        file = tiff(values, extratags=[(274, "H", 1, 6, True)])
        expected = np.asarray(Image.fromarray(picture).transpose(Image.Transpose.ROTATE_270))
        np.testing.assert_array_equal(tile(file), expected)


def test_what_cannot_be_read_at_16_bits_is_refused_with_the_reason() -> None:
    planes = tiff(of_depth(12, draw_tiles(1)[0]).transpose(2, 0, 1), photometric="rgb", planarconfig="separate")
    assert "16 bits per channel in separate planes" in refusal(lambda: tile(planes))
    grey = of_depth(12, draw_tiles(1)[0][..., :2])
    assert "grey of 16 bits with transparency" in refusal(lambda: tile(png16(grey)))


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("float32", "values of 32 bits, floating-point numbers"),
        ("float16", "values of 16 bits, floating-point numbers"),
        ("float64", "values of 64 bits, floating-point numbers"),
        ("uint32", "values of 32 bits; allowed: "),
        ("int16", "values of 16 bits, signed"),
    ],
)
def test_other_numbers_are_refused_with_the_reason(kind: str, reason: str) -> None:
    for values in (draw_tiles(1)[0], draw_tiles(1)[0][..., 0]):
        assert reason in refusal(lambda values=values: tile(tiff(values.astype(kind))))  # type: ignore[misc]
