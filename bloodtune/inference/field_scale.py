"""The scale of a field of view: micrometres per pixel from the size of its red cells, or else of its nuclei."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from PIL import Image
from scipy import ndimage
from skimage.feature import peak_local_max

from bloodtune.inference.stain import Stain

RED_CELL = 7.2  # µm, diameter
NUCLEUS = 10.0  # µm, diameter of a disc with the area of a leukocyte's nucleus, measured beside red cells
NUCLEI = "nuclei"  # source of a scale
_WINDOW = 1024  # pixels
_REDUCTIONS = (4, 2, 1)


class Scale(NamedTuple):
    """The scale of a field.

    Attributes:
        microns_per_pixel: micrometres per pixel.
        source: ``12 red cells``, ``nuclei`` or ``given``.
        blur: width of edges in µm; 0 if unknown.
        red_cells: number of red cells that were measured.
    """

    microns_per_pixel: float
    source: str
    blur: float = 0.0
    red_cells: int = 0


class _Sizes(NamedTuple):
    """Diameters in pixels, 0 if unknown: single red cells, red cells in clumps, a nucleus; and numbers of cells."""

    single: float
    singles: int
    clumped: float
    clumps: int
    nucleus: float


def estimate_scale(image: np.ndarray, stain: Stain) -> Scale | None:
    """Return the scale of a field, uint8 (H, W, 3), or None if it has neither red cells nor nuclei.

    The middle of the picture is reduced as far as its red cells keep 16 pixels. Three single round red cells are
    enough. Fewer are averaged with the thickness of clumps and the size of nuclei, weighted by their precision on
    ``fields_bccd`` (standard deviation of the logarithm .1, .15 and .25).
    """
    nucleus = 0.0
    for reduction in _REDUCTIONS:
        part = _middle(image, reduction)
        if reduction > 1 and min(part.shape[:2]) < 200:
            continue
        sizes = _sizes(part, stain)
        diameter = _red_cell(sizes)
        if diameter >= (16 if reduction > 1 else 6):
            measured, micron = max(sizes.singles, sizes.clumps), diameter / RED_CELL
            blur = _blur(part, stain, micron) / micron
            return Scale(1 / (micron * reduction), f"{measured} red cells", blur, measured)
        nucleus = sizes.nucleus * reduction or nucleus
    if not nucleus:
        return None
    micron = nucleus / NUCLEUS
    return Scale(1 / micron, NUCLEI, _blur(part, stain, micron, nuclei=True) / micron)


def _red_cell(sizes: _Sizes) -> float:
    """Return the diameter of a red cell in pixels, or 0."""
    single, singles, clumped, clumps, nucleus = sizes
    agree = bool(singles and clumps) and abs(math.log(single / clumped)) < 0.25
    if singles >= 3 or agree:
        return single if single > 0.35 * nucleus else 0.0
    if singles + clumps < 3:
        return 0.0
    found = [(single, singles / 0.1**2), (clumped, 1 / 0.15**2)]
    diameter = _average(found)
    if nucleus and not 0.5 < diameter / nucleus < 1.8:
        return 0.0
    return _average([*found, (nucleus * RED_CELL / NUCLEUS, 1 / 0.25**2)])


def _average(sizes: list[tuple[float, float]]) -> float:
    """Return the geometric mean of sizes with weights; those that are 0 are left out."""
    known = [(math.log(size), weight) for size, weight in sizes if size]
    return math.exp(sum(log * weight for log, weight in known) / sum(weight for _, weight in known))


def _middle(image: np.ndarray, reduction: int) -> np.ndarray:
    height, width = (side // 2 for side in image.shape[:2])
    half = _WINDOW * reduction // 2
    part = image[max(0, height - half) : height + half, max(0, width - half) : width + half]
    return part if reduction == 1 else np.asarray(Image.fromarray(part).reduce(reduction))


def _sizes(image: np.ndarray, stain: Stain) -> _Sizes:
    cells, nuclei, _ = stain.densities(image)
    stained = nuclei > stain.nuclear
    mask = ndimage.uniform_filter(cells, 3) > stain.foreground / 2
    for part, place in _objects(~mask):
        if _is_disc(part, place, mask.shape, 0.6):  # the pale centre of a red cell
            mask[place] |= part
    mask &= ~ndimage.binary_dilation(stained, iterations=3)
    nucleus = _nucleus(stained)
    if not mask.any():
        return _Sizes(0, 0, 0, 0, nucleus)
    distance = ndimage.distance_transform_edt(mask).astype(np.float32)
    usual = 6 * float(distance[mask].mean())  # in a disc, the mean distance to the edge is a sixth of the diameter
    areas = [part.sum() for part, place in _objects(mask) if _is_disc(part, place, mask.shape)]
    singles = [size for size in 2 * np.sqrt(np.array(areas) / np.pi) if 0.6 < size / usual < 1.6]
    peaks = peak_local_max(
        ndimage.uniform_filter(distance, max(1, int(usual / 8))),
        min_distance=max(2, int(usual / 3)),
        threshold_abs=usual / 5,
        exclude_border=int(usual / 2.5),
    )
    clumps = np.sort(2.15 * distance[tuple(peaks.T)])  # so that clumps and singles have one mean
    heavy = np.searchsorted(np.cumsum(clumps**2), (clumps**2).sum() / 2)
    single = float(np.median(singles)) if singles else 0.0
    return _Sizes(single, len(singles), float(clumps[heavy]) if len(clumps) else 0.0, len(clumps), nucleus)


def _nucleus(stained: np.ndarray) -> float:
    """Return the diameter of a disc with the area of the median nucleus; the lobes of one nucleus are joined."""
    sizes = np.bincount(ndimage.label(stained)[0].ravel())[1:]
    if sizes.size == 0 or sizes.max() < 20:
        return 0.0
    gap = int(2 * math.sqrt(sizes.max() / math.pi) / 3)
    near = ndimage.uniform_filter(stained.astype(np.float32), max(1, gap)) > 0.15
    labels, count = ndimage.label(near)
    areas = ndimage.sum_labels(stained, labels, np.arange(1, count + 1))
    return 2 * math.sqrt(float(np.median(areas[areas > areas.max() / 4])) / math.pi)


def _objects(mask: np.ndarray) -> list[tuple[np.ndarray, tuple[slice, slice]]]:
    labels, _ = ndimage.label(mask)
    return [(labels[place] == number, place) for number, place in enumerate(ndimage.find_objects(labels), 1)]


def _is_disc(part: np.ndarray, place: tuple[slice, slice], shape: tuple[int, ...], least: float = 0.7) -> bool:
    """Return whether an object is round and does not touch the border: a disc fills .785 of its box."""
    height, width = part.shape
    if height * width < 60 or max(height, width) > 1.3 * min(height, width):
        return False
    inside = all(side.start > 0 and side.stop < length for side, length in zip(place, shape, strict=True))
    return inside and least < part.mean() < 0.86


def _blur(image: np.ndarray, stain: Stain, micron: float, nuclei: bool = False) -> float:
    """Return the width of edges in pixels: the density of red cells or nuclei divided by the slope at half of it.

    Slopes are measured over 0.3 µm, so that noise is not taken for edges. ``micron`` is in pixels.
    """
    cells, nuclear, _ = stain.densities(image)
    values, inside = nuclear, nuclear > stain.nuclear
    near = np.zeros_like(inside)
    if not nuclei:
        near = ndimage.binary_dilation(inside, iterations=max(1, round(1.5 * micron)))
        values, inside = cells, (cells > stain.foreground / 2) & ~near
    if not inside.any():
        return 0.0
    density = float(np.median(values[inside]))
    smooth = ndimage.gaussian_filter(np.minimum(values, 1.5 * density), max(1.0, 0.3 * micron))
    outline = (np.abs(smooth - density / 2) < 0.1 * density) & ~near
    if not outline.any():
        return 0.0
    down, across = np.gradient(smooth)
    slopes = np.hypot(down, across)[outline]
    return float(density / max(1e-6, np.percentile(slopes, 95)))
