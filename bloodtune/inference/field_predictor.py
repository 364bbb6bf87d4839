"""Prediction of fields of view: cells found, cut out at the scale of the training photographs, and classified."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from bloodtune.data.photographs import Tile, make_preview, make_tile
from bloodtune.data.picture_files import open_pages, to_srgb
from bloodtune.errors import InputError
from bloodtune.inference.differential import Box, FieldCount, Prediction, Result, Unreadable
from bloodtune.inference.field_pictures import as_png, draw_boxes
from bloodtune.inference.fields import Field, find
from bloodtune.inference.predictor import Image as Source
from bloodtune.inference.predictor import Predictor, in_threads

# Side of the middle 200 pixels of the photographs behind BloodMNIST. Their red cells have 76 pixels (``field_scale``
# on pbc_sample), taken as 7.2 µm.
CROP_MICRONS = 200 * 7.2 / 76


@dataclass(frozen=True)
class FieldPredictor:
    """Predictor of fields of view.

    Attributes:
        predictor: the model.
        microns_per_pixel: scale of the fields; None for the scale that each field shows.
        crop: side of the square around a cell in pixels of the field; None for that of the training photographs.
        preview: longest side of the previews of cells in pixels; 0 for none.
        drawn: whether each field is drawn with its boxes as a PNG file.
        page: longest side of the previews of fields in pixels; 0 for none.
    """

    predictor: Predictor
    microns_per_pixel: float | None = None
    crop: int | None = None
    preview: int = 0
    drawn: bool = False
    page: int = 0

    def predict(self, images: Iterable[Source], workers: int | None = None) -> Iterator[Result]:
        """Yield, for each field in order, the predictions of its cells and then its count, or why it has none."""
        return in_threads(self._predict_field, images, workers)

    def _predict_field(self, image: Source) -> list[Result]:
        try:
            picture = _read(image)
            field = find(np.asarray(picture), self.microns_per_pixel)
        except InputError as error:
            return [Unreadable(image.name, str(error))]
        cells = self._classify(image.name, picture, field)
        if self.drawn or self.page:
            draw_boxes(picture, cells, field.cut)
        count = FieldCount(
            image.name,
            len(cells),
            len(field.cut),
            field.small,
            field.scale.microns_per_pixel,
            field.scale.source,
            field.notes,
            as_png(picture) if self.drawn else b"",
            make_preview(picture, self.page) if self.page else b"",
        )
        return [*cells, count]

    def _classify(self, name: str, picture: Image.Image, field: Field) -> list[Prediction]:
        if not field.cells:
            return []
        crop = self.crop or self.predictor.crop or round(CROP_MICRONS / field.scale.microns_per_pixel)
        tiles = [self._tile(picture, box, max(1, crop), field.background) for box in field.cells]
        examined = self.predictor.examine([tile.pixels for tile in tiles])
        found = []
        for number, (tile, box, seen) in enumerate(zip(tiles, field.cells, examined, strict=True)):
            label = tile._replace(label=f"{name}:cell {number + 1}")
            found.append(self.predictor.describe(label, *seen, field=Path(name).name, box=box))
        return found

    def _tile(self, picture: Image.Image, box: Box, side: int, background: tuple[int, ...]) -> Tile:
        """Cut the square around the middle of a box. Pixels beyond the border get the colour of the background."""
        left, top = (box[0] + box[2] - side) // 2, (box[1] + box[3] - side) // 2
        square = Image.new("RGB", (side, side), background)
        inside = (max(0, left), max(0, top), min(picture.width, left + side), min(picture.height, top + side))
        square.paste(picture.crop(inside), (inside[0] - left, inside[1] - top))
        return make_tile(to_srgb(square, self.predictor.channels), self.predictor.size, self.preview)


def _read(image: Source) -> Image.Image:
    """Return a field in sRGB.

    Raises:
        InputError: the file is no picture, has several pages, or is too large.
    """
    if isinstance(image.content, np.ndarray):
        raise InputError("an image of an .npz file; allowed with --find: picture files of fields of view")
    pages = list(itertools.islice(open_pages(image.content), 1))
    if pages[0].label:
        raise InputError(
            f"several pictures ({pages[0].label}); allowed: one per field, such as the sharpest plane of a z-stack"
        )
    if pages[0].picture.mode in ("1", "L", "I;16", "LA"):
        raise InputError("a grey picture; cells are found by the colours of their stain")
    return to_srgb(pages[0].picture, 3)
