"""Fields of view: boxes of the nucleated cells in a picture, its scale, and the reasons why it cannot be counted."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from PIL import Image

from bloodtune.errors import InputError
from bloodtune.inference.differential import Box
from bloodtune.inference.field_scale import NUCLEI, Scale, estimate_scale
from bloodtune.inference.nuclei import find_cells
from bloodtune.inference.stain import Stain

_WORKING = 0.25  # µm per pixel of the picture in which cells are found
_STRIP = 4_000_000  # pixels of that picture that are searched at a time
_OVERLAP = 30.0  # µm between strips, more than a cell
_MOST_BLUR, _MOST_BLUR_OF_NUCLEI = 2.0, 2.4  # µm; at most 1.6 in fields_bccd and 1.9 in cells_tecom
GIVEN = "given"  # source of a scale
_FEW_RED_CELLS = 8
_MOST_COVERED = 0.7  # share of the picture; at most .61 in fields_bccd and .69 in BloodMNIST's photographs


class Field(NamedTuple):
    """The cells of a field of view.

    Attributes:
        cells: boxes of the nucleated cells that are whole.
        cut: boxes of those that touch the border.
        small: number of stained objects too small for a nucleus.
        scale: micrometres per pixel and their source.
        background: colour between the cells.
        notes: what a person should check.
    """

    cells: list[Box]
    cut: list[Box]
    small: int
    scale: Scale
    background: tuple[int, ...]
    notes: tuple[str, ...]


def find(image: np.ndarray, microns_per_pixel: float | None = None) -> Field:
    """Find the nucleated cells of a field of view, uint8 (H, W, 3), by their stain.

    Thresholds come from the picture itself, sizes from its scale, which is that of the red cells or nuclei unless
    ``microns_per_pixel`` gives it. A box holds the nucleus and the cytoplasm near it.

    Raises:
        InputError: the picture has neither red cells nor nuclei, is out of focus, or is no stained smear.
    """
    stain = Stain(image)
    scale = Scale(microns_per_pixel, GIVEN) if microns_per_pixel else estimate_scale(image, stain)
    if scale is None:
        raise InputError("neither red cells nor stained nuclei, so this is no field of a stained smear")
    _check(scale, stain)
    cells: list[Box] = []
    cut: list[Box] = []
    small = 0
    for boxes, on_border, bits in _strips(image, stain, scale.microns_per_pixel):
        cells, cut, small = cells + boxes, cut + on_border, small + bits
    return Field(cells, cut, small, scale, stain.background, tuple(_notes(cells, cut, scale, stain)))


def _check(scale: Scale, stain: Stain) -> None:
    if scale.source != GIVEN and scale.red_cells < _FEW_RED_CELLS and stain.covered > _MOST_COVERED:
        raise InputError("few red cells and hardly any background, so this is no field of a stained smear")
    if scale.source == NUCLEI and scale.blur > _MOST_BLUR_OF_NUCLEI:
        raise InputError("neither red cells nor sharp nuclei to measure: out of focus, or no field of a stained smear")
    if scale.source != NUCLEI and scale.blur > _MOST_BLUR:
        raise InputError(f"out of focus: edges are {scale.blur:.1f} µm wide; allowed: up to {_MOST_BLUR} µm")


def _strips(image: np.ndarray, stain: Stain, microns_per_pixel: float) -> Iterator[tuple[list[Box], list[Box], int]]:
    """Yield the whole cells, the cut cells and the number of small objects of strips of a picture, from the top."""
    height, width = image.shape[:2]
    factor = max(1.0, _WORKING / microns_per_pixel)
    picture, columns = Image.fromarray(image), max(1, round(width / factor))
    rows, overlap = max(1, math.ceil(height / factor)), math.ceil(_OVERLAP / microns_per_pixel / factor)
    step = max(2 * overlap, _STRIP // columns)
    for start in range(0, rows, step):
        top, bottom = max(0, start - overlap), min(rows, start + step + overlap)
        if bottom == rows and start and rows - start <= overlap:
            break  # the strip before this one reaches the lower border
        source = (0, top * factor, width, min(height, bottom * factor))
        part = np.asarray(picture.resize((columns, bottom - top), Image.Resampling.BOX, source))
        found = find_cells(part, stain, microns_per_pixel * factor)
        last = start + step >= rows or rows - start - step <= overlap
        inside = [box for box in found.boxes if _within(box, top, start, math.inf if last else start + step)]
        boxes = [(x0, y0 + top, x1, y1 + top) for x0, y0, x1, y1 in inside]
        edge = [box[0] == 0 or box[1] == 0 or box[2] == columns or box[3] == rows for box in boxes]
        scaled = [_enlarge(box, factor, width, height) for box in boxes]
        share = (min(rows, start + step) - start) / (bottom - top)
        yield (
            [box for box, cut in zip(scaled, edge, strict=True) if not cut],
            [box for box, cut in zip(scaled, edge, strict=True) if cut],
            round(found.small * share),
        )


def _within(box: Box, top: int, start: float, end: float) -> bool:
    return start <= top + (box[1] + box[3]) / 2 < end


def _enlarge(box: Box, factor: float, width: int, height: int) -> Box:
    x0, y0, x1, y1 = (round(side * factor) for side in box)
    return x0, y0, min(width, x1), min(height, y1)


def _notes(cells: list[Box], cut: list[Box], scale: Scale, stain: Stain) -> Iterator[str]:
    if not cells:
        yield "only cells cut by the border" if cut else "no nucleated cell"
    if stain.covered > _MOST_COVERED:
        yield f"crowded: cells cover {stain.covered:.0%}, and those that overlap may be counted as one"
    if scale.source == NUCLEI:
        yield "no red cells to measure: the scale comes from nuclei and may be wrong by a quarter"
