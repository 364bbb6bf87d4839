"""Contact sheet of a data set: the first images of each class in a row, as a picture."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from bloodtune.data.npz import SPLITS, Split

_COLUMNS = 16
_SIDE, _GAP, _TEXT = 64, 4, 18  # pixels; smaller images are enlarged


def contact_sheet(splits: Mapping[str, Split], class_names: Sequence[str]) -> bytes:
    """Return a PNG file with the name, the number and up to 16 images of each class, from all splits."""
    height = _SIDE + _TEXT + 2 * _GAP
    sheet = Image.new("RGB", (_GAP + _COLUMNS * (_SIDE + _GAP), height * len(class_names)), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(12)
    for label, name in enumerate(class_names):
        top = height * label
        count = sum(int((splits[split].labels == label).sum()) for split in SPLITS)
        draw.text((_GAP, top + _GAP), f"{name}: {count:,}", "black", font)
        for column, image in enumerate(_first_images(splits, label)):
            picture = Image.fromarray(image.squeeze()).resize((_SIDE, _SIDE), Image.Resampling.BILINEAR)
            sheet.paste(picture, (_GAP + column * (_SIDE + _GAP), top + _TEXT + _GAP))
    file = io.BytesIO()
    sheet.save(file, "PNG")
    return file.getvalue()


def _first_images(splits: Mapping[str, Split], label: int) -> np.ndarray:
    found = [splits[split].images[np.flatnonzero(splits[split].labels == label)[:_COLUMNS]] for split in SPLITS]
    return np.concatenate(found)[:_COLUMNS]
