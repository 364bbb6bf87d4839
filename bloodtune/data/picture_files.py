"""Picture files, opened page by page: 8 bits per channel, upright, in sRGB."""

from __future__ import annotations

import functools
import importlib
import importlib.util
import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
from PIL import Image, ImageCms, ImageOps, TiffImagePlugin, UnidentifiedImageError

from bloodtune.data.bit_depth import has_16_bits, read_values, to_8_bits
from bloodtune.errors import InputError, one_line

MAX_PIXELS = 64_000_000  # per picture; 192 MB in colour
MAX_PIXELS_PER_BYTE = 50  # of all pages of a larger file; JPEG files of smears have 6 to 18
FORMATS = "JPEG, PNG, TIFF, BMP, WebP or GIF picture"

_HEIC = "pillow_heif"
_HEIC_BRANDS = (b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1")

# TIFF tags. PAGE_KIND marks thumbnails (1) and masks (4).
_PAGE_KIND, _BITS, _DESCRIPTION, _ORIENTATION = 254, 258, 270, 274
_SAMPLES, _KIND = 277, 339


class Page(NamedTuple):
    """A picture of a file. ``label`` is empty if the file has no other, or ``page 2``, or ``frame 1 of 12``."""

    label: str
    picture: Image.Image


@functools.cache
def heic_readable() -> bool:
    """Return whether HEIC files can be read, which needs the extra ``heic``."""
    if importlib.util.find_spec(_HEIC) is None:
        return False
    importlib.import_module(_HEIC).register_heif_opener()
    return True


def open_pages(source: Path | IO[bytes]) -> Iterator[Page]:
    """Yield the pictures of a file: each page of a TIFF file, the first frame of an animation.

    Three channels of ImageJ (red, green, blue) are one picture. Thumbnails and masks of a TIFF file are no pages.
    Values of 16 bits are scaled as ``bit_depth`` says. Palettes, transparent parts and colour profiles are left to
    ``to_srgb``, which is faster on a part of the picture.

    Raises:
        InputError: the file is not a picture, is damaged, too large, or has pixels that cannot be used.
    """
    formats = ("JPEG", "PNG", "TIFF", "BMP", "WEBP", "GIF", *(("HEIF",) if heic_readable() else ()))
    try:
        with Image.open(source, formats=formats) as file:
            yield from _tiff_pages(file, source) if file.format == "TIFF" else _first_frame(file, source)
    except InputError:
        raise
    except Image.DecompressionBombError:
        raise InputError(f"too large; allowed: up to {MAX_PIXELS // 10**6} million pixels") from None
    except UnidentifiedImageError:
        raise InputError(_unknown_format(source)) from None
    except Exception as error:  # Pillow raises many types of errors for damaged files
        raise InputError(f"cannot be read: {getattr(error, 'strerror', None) or one_line(error)}") from None


def to_srgb(picture: Image.Image, channels: int) -> Image.Image:
    """Return a picture as sRGB (3 channels) or grey (1), with white for transparent parts.

    A colour profile that is damaged or made for other channels is ignored, as browsers do.
    """
    profile = picture.info.get("icc_profile")
    if picture.has_transparency_data:
        white = Image.new("RGBA", picture.size, "white")
        picture = Image.alpha_composite(white, picture.convert("RGBA"))
    if picture.mode == "LAB":
        picture = _from_lab(picture)
    elif profile:
        picture = _apply_profile(picture, profile)
    return picture.convert("RGB" if channels == 3 else "L")


def _apply_profile(picture: Image.Image, content: bytes) -> Image.Image:
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(content))
        if "srgb" in ImageCms.getProfileDescription(profile).lower():
            return picture
        mode = {"GRAY": "L", "CMYK": "CMYK"}.get(profile.profile.xcolor_space.strip(), "RGB")
        if (mode == "CMYK") != (picture.mode == "CMYK"):
            return picture
        converted = ImageCms.profileToProfile(picture.convert(mode), profile, _srgb(), outputMode="RGB")
    except (ImageCms.PyCMSError, OSError, ValueError):
        return picture
    assert converted is not None
    return converted


def _from_lab(picture: Image.Image) -> Image.Image:
    converted = ImageCms.profileToProfile(picture, ImageCms.createProfile("LAB"), _srgb(), outputMode="RGB")
    assert converted is not None
    return converted


def _srgb() -> Any:
    return ImageCms.createProfile("sRGB")


def _first_frame(file: Any, source: Path | IO[bytes]) -> Iterator[Page]:
    frames = getattr(file, "n_frames", 1) if file.format in ("PNG", "WEBP", "GIF") else 1
    label = f"frame 1 of {frames}" if frames > 1 else ""
    yield Page(label, _upright(_load(file, source), file))


def _tiff_pages(file: Any, source: Path | IO[bytes]) -> Iterator[Page]:
    """Yield each page of a TIFF file, or every three pages as one if these are the channels of ImageJ."""
    channels = _channels(file)
    pages, pixels = [], 0
    for page in range(file.n_frames):
        file.seek(page)
        if not file.tag_v2.get(_PAGE_KIND, 0) & 5:
            pages.append(page)
            pixels += file.width * file.height
    size = source.stat().st_size if isinstance(source, Path) else source.seek(0, io.SEEK_END)
    if len(pages) > 1 and pixels > max(MAX_PIXELS, MAX_PIXELS_PER_BYTE * size):
        found = f"{len(pages):,} pages of {pixels / 1e6:,.0f} million pixels in {size / 1e6:,.2f} MB"
        raise InputError(f"{found}; allowed: {MAX_PIXELS_PER_BYTE} pixels per byte, more than photographs have")
    if len(pages) % channels:
        raise InputError(f"{len(pages)} pages with 3 channels per picture; allowed: 3 pages per picture")
    for number, first in enumerate(range(0, len(pages), channels), 1):
        loaded = []
        for page in pages[first : first + channels]:
            file.seek(page)
            loaded.append(_load(file, source, page))
        picture = loaded[0] if channels == 1 else _merge(loaded)
        label = f"page {number}" if len(pages) > channels else ""
        yield Page(label, _upright(picture, file))


def _channels(file: Any) -> int:
    """Return how many pages make a picture: 3 for the channels of ImageJ, otherwise 1."""
    text = str(file.tag_v2.get(_DESCRIPTION, ""))
    if text.startswith("ImageJ="):
        entries = dict(line.partition("=")[::2] for line in text.splitlines())
        images, channels = (int(entries.get(name, 1)) for name in ("images", "channels"))
        if images > file.n_frames:
            found = f"an ImageJ stack of {images} pages, of which the file lists {file.n_frames}"
            raise InputError(f"{found}; save it in ImageJ as single pages")
    else:
        size = re.search(r'SizeC="(\d+)"', text) if "<OME" in text else None
        channels = int(size[1]) // int(file.tag_v2.get(_SAMPLES, 1)) if size else 1
    if channels not in (1, 3):
        raise InputError(f"{file.n_frames} pages with {channels} channels per picture; allowed: 1, or red, green, blue")
    return channels


def _merge(pages: list[Image.Image | np.ndarray]) -> Image.Image | np.ndarray:
    """Return three grey pages as one picture; they share one depth."""
    arrays = [np.asarray(page) for page in pages]
    if len({(array.shape, array.dtype) for array in arrays}) > 1 or arrays[0].ndim != 2:
        raise InputError("3 channels of different kinds; allowed: grey pages of one size")
    stacked = np.stack(arrays, axis=2)
    return stacked if stacked.dtype == np.uint16 else Image.fromarray(stacked)


def _load(file: Any, source: Path | IO[bytes], page: int = 0) -> Image.Image | np.ndarray:
    """Return the current page of a file, or its values if they have 16 bits: uint16 (H, W) or (H, W, C)."""
    width, height = file.size
    if width * height > MAX_PIXELS:
        raise Image.DecompressionBombError
    if file.mode in ("I", "F"):
        raise InputError(f"{_numbers(getattr(file, 'tag_v2', {}), file.mode)}; allowed: 8 or 16 bits per channel")
    if has_16_bits(file):
        return read_values(file, source, page)
    file.load()
    picture: Image.Image = file.copy() if getattr(file, "n_frames", 1) > 1 else file
    return picture


def _upright(picture: Image.Image | np.ndarray, file: Any) -> Image.Image:
    """Return a page with 8 bits per channel and the colour profile of its file, turned as the file's EXIF data says."""
    orientation = 1 if file.format == "TIFF" else file.getexif().get(_ORIENTATION, 1)  # Pillow turns TIFF files
    if isinstance(picture, np.ndarray):
        mode = file.mode if len(file.getbands()) > 1 else {2: "L", 3: "RGB"}[picture.ndim]
        picture = to_8_bits(picture, mode)
        picture.info["icc_profile"] = file.info.get("icc_profile")
        picture.getexif()[_ORIENTATION] = orientation
    if orientation != 1:
        ImageOps.exif_transpose(picture, in_place=True)
    return picture


def _numbers(tags: Any, mode: str = "") -> str:
    """Return the kind of values in a TIFF file: "values of 32 bits, floating-point numbers"."""
    bits, kind = np.atleast_1d(tags.get(_BITS, 32))[0], np.atleast_1d(tags.get(_KIND, 1))[0]
    signs = {2: ", signed", 3: ", floating-point numbers"}
    return f"values of {bits} bits{signs.get(3 if mode == 'F' else kind, '')}"


def _unknown_format(source: Path | IO[bytes]) -> str:
    """Return why Pillow could not open a file."""
    stream = source.open("rb") if isinstance(source, Path) else source
    try:
        stream.seek(0)
        head = stream.read(16)
        if head[4:8] == b"ftyp" and head[8:12] in _HEIC_BRANDS:
            return "a HEIC picture, which only the extra heic reads; run pip install -e '.[heic]', or save it as JPEG"
        if head[:4] in (b"II*\0", b"MM\0*"):
            tags = TiffImagePlugin.ImageFileDirectory_v2(head[:8])
            stream.seek(tags.next)
            tags.load(stream)
            samples, bits, kind = (np.atleast_1d(tags.get(tag, 1)) for tag in (_SAMPLES, _BITS, _KIND))
            is_allowed = samples[0] in (1, 3, 4) and np.isin(bits, (8, 16)).all() and np.all(kind == 1)
            if is_allowed or _BITS not in tags:
                return "a TIFF file that is damaged, or coded in a way that cannot be read; save it as PNG"
            found = f"a TIFF file with {samples[0]} values per pixel, {_numbers(tags)}"
            return f"{found}; allowed: 1, 3 or 4 values of 8 or 16 bits"
    except Exception:  # a damaged file
        return f"not a {FORMATS}"
    finally:
        if stream is not source:
            stream.close()
    return f"not a {FORMATS}"
