"""Nucleated cells in a picture of known scale: watershed of the stained nuclei, lobes of one nucleus joined."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import ndimage
from skimage.feature import peak_local_max
from skimage.segmentation import watershed

from bloodtune.inference.differential import Box
from bloodtune.inference.stain import Stain

LEAST_AREA = 14.0  # µm²; most platelets are smaller
_REACH = 1.2  # µm
_SMOOTH = 0.25  # µm


class Cells(NamedTuple):
    """Boxes of the cells in a picture, and the number of stained objects that are too small for a nucleus."""

    boxes: list[Box]
    small: int


class _Part(NamedTuple):
    """A part of a nucleus: its box (ymin, xmin, ymax, xmax), its area in µm², and the peak of its smoothed mask."""

    box: tuple[int, int, int, int]
    area: float
    peak: float


def find_cells(image: np.ndarray, stain: Stain, microns_per_pixel: float) -> Cells:
    """Return the nucleated cells of a picture, uint8 (H, W, 3); a box holds the nucleus and the cytoplasm near it."""
    density, nuclear, total = stain.densities(image)
    nuclear = ndimage.gaussian_filter(nuclear, _SMOOTH / microns_per_pixel)
    mask = nuclear > stain.nuclear
    if not mask.any():
        return Cells([], 0)
    body = (ndimage.uniform_filter(density, 3) > stain.foreground) | (nuclear > stain.nuclear / 4)
    smooth = _smooth(mask, microns_per_pixel)
    peaks = peak_local_max(
        smooth, min_distance=max(1, int(3 / microns_per_pixel)), exclude_border=False, threshold_abs=0.06
    )
    markers = np.zeros(mask.shape, np.int32)
    markers[tuple(peaks.T)] = np.arange(1, len(peaks) + 1)
    labels = watershed(-smooth, markers, mask=smooth > 0.06)
    labels = _join(labels, mask, smooth, _smooth(body, microns_per_pixel), microns_per_pixel)
    body = ndimage.binary_opening(body, iterations=max(1, round(0.6 / microns_per_pixel)))
    cells, small = [], 0
    for number, place in enumerate(ndimage.find_objects(labels), 1):
        if place is None:
            continue
        part = labels[place] == number
        core = part & mask[place]
        area = core.sum() * microns_per_pixel**2
        if (
            area < LEAST_AREA
            or smooth[place][part].max() < 0.5
            or nuclear[place][core].sum() < 0.4 * total[place][core].sum()
        ):
            small += 1
        else:
            cells.append(_box(part & body[place], core, place))
    return Cells(cells, small)


def _smooth(mask: np.ndarray, microns_per_pixel: float) -> np.ndarray:
    return np.asarray(ndimage.gaussian_filter(mask.astype(np.float32), _REACH / microns_per_pixel, truncate=3))


def _box(body: np.ndarray, core: np.ndarray, place: tuple[slice, slice]) -> Box:
    """Return the box of a cell: the parts of its body that hold a quarter of its nucleus or more."""
    labels, count = ndimage.label(body | core)
    keep = np.bincount(labels[core], minlength=count + 1) > 0.25 * core.sum()
    whole = keep[labels] if keep[1:].any() else core
    rows, columns = np.flatnonzero(whole.any(1)), np.flatnonzero(whole.any(0))
    top, left = place[0].start, place[1].start
    return int(left + columns[0]), int(top + rows[0]), int(left + columns[-1] + 1), int(top + rows[-1] + 1)


def _join(
    labels: np.ndarray, mask: np.ndarray, smooth: np.ndarray, body: np.ndarray, microns_per_pixel: float
) -> np.ndarray:
    """Return labels in which the parts of one cell have one label.

    Two parts that touch are one cell if no neck is between them, or if together they are as small as one leukocyte and
    cytoplasm is between them.
    """
    count = int(labels.max())
    inner = np.where(mask, labels, 0)
    areas = np.bincount(inner.ravel(), minlength=count + 1) * microns_per_pixel**2
    tops = ndimage.maximum(smooth, labels, np.arange(count + 1))
    parts = {
        number: _Part((y.start, x.start, y.stop, x.stop), float(areas[number]), float(tops[number]))
        for number, place in enumerate(ndimage.find_objects(inner), 1)
        if place is not None
        for y, x in [place]
    }
    parent = np.arange(count + 1)
    for (one, other), (neck, between) in sorted(_borders(labels, smooth, body).items(), key=lambda item: -item[1][0]):
        first, second = parent[one], parent[other]
        if first == second or first not in parts or second not in parts:
            continue
        a, b = parts[first], parts[second]
        low, high = np.minimum(a.box[:2], b.box[:2]), np.maximum(a.box[2:], b.box[2:])
        extent = (high - low).max() * microns_per_pixel
        least = min(a.area, b.area)
        solid = neck > 0.8 * min(a.peak, b.peak)
        if solid or (between > 0.6 and extent <= (16 if least < 25 else 13)) or (between > 0.9 and extent <= 19):
            parent[parent == second] = first
            parts[first] = _Part((*low, *high), a.area + b.area, max(a.peak, b.peak))
    return np.asarray(parent[labels])


def _borders(labels: np.ndarray, smooth: np.ndarray, body: np.ndarray) -> dict[tuple[int, int], tuple[float, float]]:
    """Return, for each two labels that touch, the highest ``smooth`` and the highest ``body`` on their border."""
    found: dict[tuple[int, int], tuple[float, float]] = {}
    for first, second in (((slice(-1),), (slice(1, None),)), ((..., slice(-1)), (..., slice(1, None)))):
        a, b = labels[first], labels[second]
        touch = (a != b) & (a > 0) & (b > 0)
        values = (np.minimum(array[first][touch], array[second][touch]) for array in (smooth, body))
        for one, other, neck, between in zip(a[touch], b[touch], *values, strict=True):
            pair = (int(min(one, other)), int(max(one, other)))
            old = found.get(pair, (0.0, 0.0))
            found[pair] = max(old[0], float(neck)), max(old[1], float(between))
    return found
