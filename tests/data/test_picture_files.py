"""Picture files of every kind: pages, channels, frames, colour profiles."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from bloodtune.data.photographs import read_pages, read_tile
from bloodtune.data.picture_files import heic_readable
from error_fixtures import refusal
from model_fixtures import draw_tiles
from sixteen_bit_fixtures import tiff

HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"


def save(image: Image.Image, kind: str = "PNG", **keywords: object) -> io.BytesIO:
    file = io.BytesIO()
    image.save(file, kind, **keywords)
    file.seek(0)
    return file


def tile(file: io.BytesIO, channels: int = 3) -> np.ndarray:
    return read_tile(file, size=28, channels=channels)[0]


def pages(file: io.BytesIO, channels: int = 3) -> dict[str, np.ndarray]:
    return {tile.label: tile.pixels for tile in read_pages(file, size=28, channels=channels)}


@pytest.mark.parametrize("compression", [None, "tiff_lzw", "jpeg"])
def test_each_page_of_a_tiff_file_is_a_picture(compression: str | None) -> None:
    tiles = draw_tiles(3)
    first, *rest = map(Image.fromarray, tiles)
    file = save(first, "TIFF", save_all=True, append_images=rest, compression=compression)
    found = pages(file)
    assert list(found) == ["page 1", "page 2", "page 3"]
    assert np.abs(np.stack(list(found.values())).astype(int) - tiles).max() <= (0 if compression != "jpeg" else 90)
    assert refusal(lambda: tile(file)) == "3 pages; allowed: one picture per file"


@pytest.mark.parametrize("kind", ["uint8", "uint16"])
def test_pages_of_an_imagej_stack_are_pictures_and_channels_are_channels(kind: str) -> None:
    tiles = draw_tiles(2).astype(kind)
    scaled = tiles * 16 if kind == "uint16" else tiles  # 12 bits
    grey = pages(tiff(scaled[..., 0], imagej=True, metadata={"axes": "ZYX"}), channels=1)
    assert list(grey) == ["page 1", "page 2"]
    composite = pages(tiff(scaled.transpose(0, 3, 1, 2), imagej=True, metadata={"axes": "ZCYX", "mode": "composite"}))
    assert list(composite) == ["page 1", "page 2"]
    assert np.abs(np.stack(list(composite.values())).astype(int) - tiles).max() <= 1
    (single,) = pages(tiff(scaled[0].transpose(2, 0, 1), imagej=True, metadata={"axes": "CYX"})).values()
    assert np.abs(single.astype(int) - tiles[0]).max() <= 1


def test_channels_that_are_not_red_green_and_blue_are_refused_with_their_number() -> None:
    for channels in (2, 4):
        file = tiff(np.zeros((channels, 28, 28), np.uint8), imagej=True, metadata={"axes": "CYX"})
        expected = f"{channels} pages with {channels} channels per picture; allowed: 1, or red, green, blue"
        assert refusal(lambda file=file: pages(file)) == expected  # type: ignore[misc]
    ome = tiff(np.zeros((2, 28, 28), np.uint8), ome=True, metadata={"axes": "CYX"})
    assert "2 pages with 2 channels per picture" in refusal(lambda: pages(ome))
    assert list(pages(tiff(draw_tiles(1)[0], ome=True, metadata={"axes": "YXS"}))) == [""]


def test_a_stack_that_lists_one_of_its_pages_is_refused_with_their_number() -> None:
    text = "ImageJ=1.54f\nimages=40\nslices=40\n"
    file = save(Image.fromarray(draw_tiles(1)[0]), "TIFF", description=text)
    assert "an ImageJ stack of 40 pages, of which the file lists 1" in refusal(lambda: pages(file))


def test_a_thumbnail_in_a_tiff_file_is_no_page() -> None:
    whole, small = Image.fromarray(draw_tiles(1)[0]), Image.new("RGB", (7, 7))
    small.encoderinfo = {"tiffinfo": {254: 1}}  # type: ignore[attr-defined]
    assert list(pages(save(whole, "TIFF", save_all=True, append_images=[small]))) == [""]


def test_a_page_of_another_size_is_named() -> None:
    file = save(Image.new("RGB", (28, 28)), "TIFF", save_all=True, append_images=[Image.new("RGB", (99, 50))])
    assert refusal(lambda: pages(file)).startswith("page 2: 99 x 50 pixels; allowed: ")


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG"])
def test_of_an_animation_the_first_frame_counts_and_says_so(kind: str) -> None:
    first, *rest = (Image.new("RGB", (28, 28), colour) for colour in ("red", "green", "blue"))
    found = pages(save(first, kind, save_all=True, append_images=rest, lossless=True))
    assert list(found) == ["frame 1 of 3"]
    assert tuple(found["frame 1 of 3"][0, 0]) == (255, 0, 0)
    assert list(pages(save(first, kind))) == [""]


def test_a_heic_picture_is_named_where_it_cannot_be_read() -> None:
    if heic_readable():
        file = save(Image.new("RGB", (64, 64), "red"), "HEIF")
        assert np.abs(read_tile(file, size=28, channels=3, crop=64)[0].astype(int) - (255, 0, 0)).max() < 9
        return
    expected = "a HEIC picture, which only the extra heic reads; run pip install -e '.[heic]', or save it as JPEG"
    assert refusal(lambda: tile(io.BytesIO(HEIC))) == expected


def profile(name: str) -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile(name)).tobytes()  # type: ignore[arg-type]


def swapped() -> bytes:
    """Return the sRGB profile with red and blue exchanged, under another name."""
    content = profile("sRGB").replace(b"rXYZ", b"XXXX").replace(b"bXYZ", b"rXYZ").replace(b"XXXX", b"bXYZ")
    return content.replace("sRGB".encode("utf-16-be"), "swap".encode("utf-16-be"))


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "JPEG", "WEBP"])
def test_colours_of_another_profile_become_srgb(kind: str) -> None:
    image = Image.new("RGB", (28, 28), (220, 30, 40))
    lossless = {"lossless": True} if kind == "WEBP" else {}
    found = tile(save(image, kind, icc_profile=swapped(), **lossless))[0, 0].astype(int)
    assert np.abs(found - (40, 30, 220)).max() <= 4
    np.testing.assert_array_equal(
        tile(save(image, kind, icc_profile=profile("sRGB"), **lossless)), tile(save(image, kind, **lossless))
    )


def test_a_profile_reaches_16_bits_too() -> None:
    values = np.full((28, 28, 3), (220 * 257, 30 * 257, 40 * 257), np.uint16)
    content = swapped()
    found = tile(tiff(values, extratags=[(34675, "B", len(content), content, True)]))[0, 0].astype(int)
    assert np.abs(found - (40, 30, 220)).max() <= 2


def test_lab_colours_become_srgb() -> None:
    lab = ImageCms.profileToProfile(
        Image.new("RGB", (28, 28), (220, 30, 40)),
        ImageCms.createProfile("sRGB"),
        ImageCms.createProfile("LAB"),
        outputMode="LAB",
    )
    assert lab is not None
    assert np.abs(tile(save(lab, "TIFF"))[0, 0].astype(int) - (220, 30, 40)).max() <= 3


@pytest.mark.parametrize("content", [b"nonsense", profile("LAB"), profile("sRGB")[:200]])
def test_a_profile_that_cannot_be_used_is_ignored(content: bytes) -> None:
    pixels = draw_tiles(1)[0]
    np.testing.assert_array_equal(tile(save(Image.fromarray(pixels), icc_profile=content)), pixels)
    grey = Image.fromarray(pixels[..., 0])
    assert tile(save(grey, icc_profile=swapped()), channels=1).shape == (28, 28, 1)


def test_damaged_tiff_files_are_refused(tmp_path: Path) -> None:
    whole = tiff(draw_tiles(1)[0]).getvalue()
    for content in (whole[:9], whole[:40], whole[:300], b"II*\0\xff\xff\xff\x7f"):
        assert refusal(lambda content=content: tile(io.BytesIO(content)))  # type: ignore[misc]
        (tmp_path / "a.tif").write_bytes(content)
        assert refusal(lambda: read_tile(tmp_path / "a.tif", size=28, channels=3))


def test_heic_is_looked_for_once() -> None:
    assert heic_readable() == ("pillow_heif" in sys.modules)


def test_pages_that_no_photograph_can_have_are_refused_before_they_are_read(tmp_path: Path) -> None:
    page, stack = Image.new("1", (4000, 4000)), io.BytesIO()
    page.save(stack, "TIFF", save_all=True, append_images=[page] * 9, compression="group4")
    (tmp_path / "a.tif").write_bytes(stack.getvalue())
    size = f"{len(stack.getvalue()) / 1e6:.2f} MB"
    for source in (stack, tmp_path / "a.tif"):
        message = refusal(lambda source=source: list(read_pages(source, size=28, channels=3, crop=300)))
        assert message == (
            f"10 pages of 160 million pixels in {size}; allowed: 50 pixels per byte, more than photographs have"
        )
