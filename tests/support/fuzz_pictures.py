"""Small valid pictures of every format that is read."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from PIL import Image, ImageCms

_SIDE = 24


def _saved(picture: Image.Image, kind: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, kind, **options)
    return stream.getvalue()


def pictures() -> dict[str, bytes]:
    """Return the files by name; those that end in ``sealed.png`` get right checksums after a change."""
    generator = np.random.default_rng(0)
    colour = Image.fromarray(generator.integers(0, 256, (_SIDE, _SIDE, 3), dtype=np.uint8))
    deep = Image.fromarray(generator.integers(0, 4096, (_SIDE, _SIDE), dtype=np.uint16))
    exif = Image.Exif()
    exif[274] = 6
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("XYZ")).tobytes()
    more = [colour.rotate(90), colour.rotate(180)]
    imagej = "ImageJ=1.53\nimages=3\nchannels=3\n"
    clear = colour.quantize(16)
    png = {
        "colour": _saved(colour, "PNG", icc_profile=profile),
        "deep": _saved(deep, "PNG"),
        "palette": _saved(clear, "PNG", transparency=3),
        "alpha": _saved(colour.convert("RGBA"), "PNG", exif=exif),
        "animated": _saved(colour, "PNG", save_all=True, append_images=more),
    }
    return {
        "a.jpg": _saved(colour, "JPEG", exif=exif, icc_profile=profile),
        "cmyk.jpg": _saved(colour.convert("CMYK"), "JPEG"),
        "progressive.jpg": _saved(colour, "JPEG", progressive=True),
        **{f"{name}.png": content for name, content in png.items()},
        **{f"{name}.sealed.png": content for name, content in png.items()},
        "plain.tif": _saved(colour, "TIFF"),
        "lzw.tif": _saved(colour, "TIFF", compression="tiff_lzw"),
        "jpeg.tif": _saved(colour, "TIFF", compression="jpeg"),
        "deflate.tif": _saved(deep, "TIFF", compression="tiff_adobe_deflate"),
        "deep.tif": _saved(deep, "TIFF"),
        "lab.tif": _saved(_lab(colour), "TIFF"),
        "pages.tif": _saved(colour, "TIFF", save_all=True, append_images=more),
        "imagej.tif": _saved(deep, "TIFF", save_all=True, append_images=[deep, deep], description=imagej),
        "a.gif": _saved(colour, "GIF", save_all=True, append_images=more),
        "a.webp": _saved(colour, "WEBP", exif=exif),
        "lossless.webp": _saved(colour, "WEBP", lossless=True),
        "animated.webp": _saved(colour, "WEBP", save_all=True, append_images=more),
        "a.bmp": _saved(colour, "BMP"),
        "palette.bmp": _saved(clear, "BMP"),
    }


def _lab(colour: Image.Image) -> Image.Image:
    srgb, lab = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    converted = ImageCms.profileToProfile(colour, srgb, lab, outputMode="LAB")
    assert converted is not None
    return converted
