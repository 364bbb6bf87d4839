"""Photographs in every form, and what is none."""

from __future__ import annotations

import io
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bloodtune.data.photographs import describe_left_out, find_photographs, read_tile, tile_picture
from bloodtune.data.picture_files import heic_readable
from error_fixtures import refusal
from model_fixtures import draw_tiles, photograph
from photograph_fixtures import bomb
from sixteen_bit_fixtures import tiff

RED, BLUE = (200, 30, 40), (20, 40, 220)


def save(image: Image.Image, kind: str = "PNG", **keywords: object) -> io.BytesIO:
    file = io.BytesIO()
    image.save(file, kind, **keywords)
    file.seek(0)
    return file


def tile(image: Image.Image, kind: str = "PNG", channels: int = 3, crop: int | None = None) -> np.ndarray:
    return read_tile(save(image, kind), size=28, channels=channels, crop=crop)[0]


def test_a_tile_of_the_models_size_is_taken_as_it_is() -> None:
    pixels = draw_tiles(1)[0]
    for kind in ("PNG", "BMP", "TIFF"):
        np.testing.assert_array_equal(tile(Image.fromarray(pixels), kind), pixels)


def test_of_a_smear_crop_the_middle_200_pixels_are_taken_as_torchvision_rounds() -> None:
    def photo(top: int) -> Image.Image:
        image = Image.new("RGB", (360, 363), BLUE)
        image.paste(RED, (80, top, 280, top + 200))
        return image

    plain = tile(Image.new("RGB", (360, 363), RED))
    assert np.abs(plain.astype(int) - RED).max() <= 3  # what JPEG does to a plain picture
    np.testing.assert_array_equal(tile(photo(82)), plain)
    assert (tile(photo(81)) != plain).any()


def test_another_crop_is_cut_out_of_any_size() -> None:
    photo = Image.new("RGB", (1000, 500), BLUE)
    photo.paste(RED, (350, 100, 650, 400))
    assert np.abs(tile(photo, crop=300).astype(int) - RED).max() <= 3
    allowed = "allowed: tiles of 28 x 28, smear crops of about 360 x 363, and any size with --crop"
    assert refusal(lambda: tile(photo)) == f"1000 x 500 pixels; {allowed}"
    assert "too small for a crop of 501 x 501" in refusal(lambda: tile(photo, crop=501))


def test_pictures_of_every_mode_become_colour_or_grey_of_8_bits() -> None:
    grey = Image.new("L", (28, 28), 77)
    assert set(tile(grey).ravel()) == {77}
    assert tile(grey, channels=1).shape == (28, 28, 1)
    assert set(tile(Image.fromarray(np.full((28, 28), 77 * 257, np.uint16)), "TIFF").ravel()) == {77}
    assert set(tile(Image.new("1", (28, 28), 1)).ravel()) == {255}
    assert tuple(tile(Image.new("RGB", (28, 28), RED).quantize(4))[0, 0]) == RED
    assert tuple(tile(Image.new("CMYK", (28, 28), (0, 255, 255, 0)), "TIFF")[0, 0]) == (255, 0, 0)
    assert tuple(tile(Image.new("RGB", (28, 28), RED), channels=1).shape) == (28, 28, 1)


def test_what_is_transparent_is_white() -> None:
    image = Image.new("RGBA", (28, 28), (*RED, 255))
    image.paste((0, 0, 0, 0), (0, 0, 14, 28))
    found = tile(image)
    assert (tuple(found[0, 0]), tuple(found[0, 20])) == ((255, 255, 255), RED)


def test_a_photograph_that_lies_on_its_side_is_turned() -> None:
    image = Image.fromarray(draw_tiles(1)[0])
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held upright
    turned, _ = read_tile(save(image, exif=exif.tobytes()), size=28, channels=3)
    np.testing.assert_array_equal(turned, np.asarray(image.transpose(Image.Transpose.ROTATE_270)))


def test_a_picture_for_people_comes_with_the_tile_where_asked_for(tmp_path: Path) -> None:
    file = photograph(tmp_path / "a.jpg")
    _, none = read_tile(file, size=28, channels=3)
    _, shown = read_tile(file, size=28, channels=3, preview=96)
    assert none == b""
    assert Image.open(io.BytesIO(shown)).size == (96, 96)
    assert Image.open(io.BytesIO(tile_picture(draw_tiles(1)[0]))).size == (28, 28)
    assert Image.open(io.BytesIO(tile_picture(draw_tiles(1)[0][..., :1]))).mode == "L"


@pytest.mark.parametrize("side", [30_000, 8_001])
def test_a_picture_that_would_fill_the_memory_is_refused(side: int) -> None:
    assert "too large; allowed: up to 64 million pixels" in refusal(
        lambda: read_tile(bomb(side, side), size=28, channels=3, crop=9)
    )


def test_what_is_no_photograph_is_refused_in_a_line(tmp_path: Path) -> None:
    def read(content: bytes) -> str:
        return refusal(lambda: read_tile(io.BytesIO(content), size=28, channels=3))

    whole = photograph(tmp_path / "a.jpg").read_bytes()
    assert read(b"hello") == read(b"") == "not a JPEG, PNG, TIFF, BMP, WebP or GIF picture"
    assert read(save(Image.new("RGB", (28, 28)), "PPM").getvalue()) == "not a JPEG, PNG, TIFF, BMP, WebP or GIF picture"
    assert "cannot be read: image file is truncated" in read(whole[:3000])
    assert "cannot be read" in read(bomb(28, 28).getvalue())
    for raw in (np.zeros((28, 28, 3), np.uint8), np.zeros((28, 28, 3), np.uint16)):
        told = "a TIFF file that is damaged, or coded in a way that cannot be read; save it as PNG"
        assert read(tiff(raw, photometric="linear_raw").getvalue()) == told
    assert read(b"II*\0\x08\0\0\0\0\0\0\0\0\0") == told  # a directory without entries
    assert "values of 32 bits, floating-point numbers" in read(save(Image.new("F", (28, 28)), "TIFF").getvalue())
    assert "No such file" in refusal(lambda: read_tile(tmp_path / "none.jpg", size=28, channels=3))


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(exist_ok=True, parents=True)
        (folder / name).write_text(name)


def found(*paths: Path, root: Path) -> list[str]:
    return [file.relative_to(root).as_posix() for file in find_photographs(paths).files]


def test_photographs_are_found_by_name_in_and_below_a_folder(tmp_path: Path) -> None:
    touch(tmp_path, "b.PNG", "a b/ü.jpg", "a b/c.tiff", ".hidden.jpg", ".thumbs/d.jpg", "notes.txt")
    expected = ["b.PNG", "a b/c.tiff", "a b/ü.jpg", "notes.txt"]
    assert found(tmp_path, tmp_path / "notes.txt", root=tmp_path) == expected


def test_every_usual_suffix_is_a_photograph(tmp_path: Path) -> None:
    names = [f"cell.{suffix}" for suffix in ["BMP", "gif", "jfif", "jpe", "jpeg", "jpg", "png", "tif", "tiff", "webp"]]
    touch(tmp_path, *names)
    assert found(tmp_path, root=tmp_path) == names


def test_what_a_folder_holds_and_is_not_counted_is_said(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg", *(f"{n}.HEIC" for n in range(5)), "a.txt", "sub/b.txt", "README", ".DS_Store")
    counted = find_photographs([tmp_path]).left_out
    assert counted == {".heic": 5, ".txt": 2, "without a suffix": 1, "hidden": 1} or heic_readable()
    line = describe_left_out(Counter({".heic": 5, ".txt": 2}))
    assert line == "7 files left out: 5 .heic (readable with the extra heic: pip install -e '.[heic]'), 2 .txt"
    assert describe_left_out(Counter({".txt": 1})) == "1 file left out: 1 .txt"


def test_links_are_followed_and_cycles_end(tmp_path: Path) -> None:
    touch(tmp_path, "elsewhere/far.jpg", "smears/near.jpg")
    smears = tmp_path / "smears"
    (smears / "loop").symlink_to(smears)
    (smears / "other").symlink_to(tmp_path / "elsewhere")
    (smears / "zz-other again").symlink_to(tmp_path / "elsewhere")
    (smears / "gone.jpg").symlink_to(tmp_path / "none.jpg")
    (smears / "linked.jpg").symlink_to(tmp_path / "smears" / "near.jpg")
    expected = ["smears/gone.jpg", "smears/linked.jpg", "smears/other/far.jpg"]
    assert found(smears, root=tmp_path) == expected
    assert find_photographs([smears]).left_out == {"given twice": 1}


def test_a_path_given_twice_counts_once(tmp_path: Path) -> None:
    touch(tmp_path, "smears/a.jpg", "smears/b.jpg")
    smears = tmp_path / "smears"
    assert found(smears / "b.jpg", smears, smears / "." / "a.jpg", smears, root=smears) == ["b.jpg", "a.jpg"]
    assert find_photographs([smears / "b.jpg", smears, smears]).left_out == {"given twice": 3}


def test_what_is_left_out_of_a_folder_given_twice_and_a_link_to_nothing_count_once(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg", "b.txt", ".c.jpg")
    (tmp_path / "gone.jpg").symlink_to(tmp_path / "none.jpg")
    twice = find_photographs([tmp_path, tmp_path])
    assert [file.name for file in twice.files] == ["a.jpg", "gone.jpg"]
    assert twice.left_out == {".txt": 1, "hidden": 1, "given twice": 2}
    touch(tmp_path, "notes.txt")
    notes = tmp_path / "notes.txt"
    assert find_photographs([tmp_path, notes]).files[-1] == notes, "what is given itself is read"


def test_an_empty_folder_and_a_missing_file_are_refused(tmp_path: Path) -> None:
    assert "no photograph in this folder (.jpg" in refusal(lambda: find_photographs([tmp_path]))
    assert "no such file or folder" in refusal(lambda: find_photographs([tmp_path / "none"]))
