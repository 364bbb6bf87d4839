"""Synthetic images of blood cells: the stand-in for BloodMNIST if the official file is unavailable, and in tests.

Each image shows one cell of its class among red cells. Its attributes (size, nucleus, stain, granules) are blended
with those of a class with which the papers' networks confuse it. No pixel comes from a photograph.
Weighted F1 on the test split (15 epochs, one seed): MLNN 0.865 (SGD 0.01), the paper's CNN 0.940 (Adam 0.001),
residual 0.960 (width 32, SGD 0.2 one-cycle, label smoothing, dihedral, shift 2, average of weights).
"""

from __future__ import annotations

import os
import tempfile
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.random import Generator

from bloodtune.errors import InputError
from bloodtune.files import home_folder

SIZE = 28
SEED = 2021

# Number of official images per class; the classes are the columns of _TYPICAL.
CLASS_COUNTS: Mapping[str, tuple[int, ...]] = {
    "train": (852, 2181, 1085, 2026, 849, 993, 2330, 1643),
    "val": (122, 312, 155, 290, 122, 143, 333, 235),
    "test": (244, 624, 311, 579, 243, 284, 666, 470),
}

# Increase the version with any change that alters a pixel.
FILE_NAME = "bloodmnist_standin_v1.npz"

_Floats = npt.NDArray[np.floating[Any]]
_Labels = npt.NDArray[np.integer[Any]]
_Bytes = npt.NDArray[np.uint8]
_Look = Mapping[str, _Floats]

# fmt: off
# Mean of each attribute per class, and its standard deviation from cell to cell.
#   radius, outline      pixels; roughness of the outline in pixels
#   nucleus, arc, lobes  nucleus: radius as a share of the cell's, bend from a disc (0) to a horseshoe (1), lobes
#   waist, offset        nucleus: constriction between lobes, distance from the cell's centre as a share of the radius
#   granules, coarse     contrast in grey levels; grain from one pixel (0) to two (1)
#   veil                 share of the granules' contrast over the nucleus
#   holes, cyto, core    vacuoles, as lighter spots; colours of cytoplasm and nucleus
_TYPICAL: Mapping[str, tuple[float, ...]] = {
    #            bas   eos   ery   ig    lym   mono  neu   plt   deviation
    "radius":   (8.8,  9.6,  7.6,  10.0, 7.3,  11.0, 9.3,  3.4,    0.7),
    "outline":  (0.9,  0.6,  0.4,  0.4,  0.5,  1.1,  0.5,  0.5,    0.15),
    "nucleus":  (0.86, 0.72, 0.66, 0.74, 0.90, 0.82, 0.66, 0.0,    0.04),
    "arc":      (0.25, 0.75, 0.0,  0.22, 0.05, 0.50, 0.85, 0.0,    0.11),
    "lobes":    (2.5,  2.0,  1.0,  2.2,  1.5,  2.0,  3.0,  1.0,    0.4),
    "waist":    (0.2,  0.6,  0.0,  0.1,  0.0,  0.15, 0.5,  0.0,    0.1),
    "offset":   (0.05, 0.05, 0.10, 0.16, 0.06, 0.12, 0.05, 0.0,    0.04),
    "granules": (34.0, 22.0, 8.0,  17.0, 8.0,  9.0,  12.0, 22.0,   2.5),
    "coarse":   (0.7,  0.5,  0.4,  0.3,  0.4,  0.4,  0.2,  0.5,    0.1),
    "veil":     (0.9,  0.3,  0.5,  0.6,  0.6,  0.5,  0.6,  0.0,    0.1),
    "holes":    (0.15, 0.0,  0.0,  0.10, 0.0,  0.30, 0.0,  0.0,    0.05),
    "cyto_r":   (122,  200,  152,  152,  135,  152,  194,  140,    6),
    "cyto_g":   (76,   108,  130,  112,  105,  128,  152,  98,     7),
    "cyto_b":   (152,  141,  172,  166,  172,  178,  174,  150,    5),
    "core_r":   (88,   90,   74,   96,   82,   102,  84,   140,    5),
    "core_g":   (46,   46,   44,   52,   42,   58,   44,   98,     4),
    "core_b":   (140,  136,  130,  142,  136,  146,  136,  150,    4),
}
# How often a class (row) is blended with another (column): about the mean of four confusion matrices of the papers'
# CNNs, without confusions that involve platelets.
_ALIKE = np.array([
    [0, 1, 0, 13, 2, 6, 0, 0],
    [2, 0, 0, 3, 0, 1, 2, 0],
    [1, 1, 0, 10, 2, 1, 4, 0],
    [15, 2, 6, 0, 8, 27, 9, 0],
    [1, 0, 3, 8, 0, 2, 1, 0],
    [2, 0, 1, 24, 5, 0, 0, 0],
    [1, 3, 3, 15, 1, 1, 0, 0],
    [0, 0, 0, 0, 0, 0, 0, 1],
], dtype=float)
# fmt: on
# Share of the other class: the maximum times a power of a uniform draw. 2.4 % of the cells (no platelets) are thus
# nearer to the other class than to their own, so that the best network is not perfect.
_BLEND_MAX, _BLEND_POWER = 0.58, 6

_BATCH = 128


def draw_cells(labels: _Labels, generator: Generator) -> _Bytes:
    """Draw one image per class index in ``labels`` (N,); return uint8 (N, 28, 28, 3)."""
    batches = [labels[start : start + _BATCH] for start in range(0, len(labels), _BATCH)]
    drawn = [_draw_batch(batch, generator) for batch in batches]
    return np.concatenate(drawn) if drawn else np.empty((0, SIZE, SIZE, 3), np.uint8)


def draw_split(counts: Sequence[int], generator: Generator) -> tuple[_Bytes, _Bytes]:
    """Draw ``counts[c]`` cells of each class c; return shuffled images (N, 28, 28, 3) and labels (N, 1), uint8."""
    labels = generator.permutation(np.repeat(np.arange(len(counts), dtype=np.uint8), counts))
    return draw_cells(labels, generator), labels[:, None]


def draw_dataset(counts: Mapping[str, Sequence[int]], seed: int) -> dict[str, _Bytes]:
    """Draw every split in ``counts``; return MedMNIST's arrays ``{split}_images`` and ``{split}_labels``."""
    generator = np.random.default_rng(seed)
    arrays = {}
    for split, split_counts in counts.items():
        arrays[f"{split}_images"], arrays[f"{split}_labels"] = draw_split(split_counts, generator)
    return arrays


def load_standin(cache: Path | None = None) -> Path:
    """Return the synthetic ``.npz`` file (official counts, MedMNIST's layout); draw it if missing or damaged.

    ``cache`` is its folder, by default ``bloodtune`` in ``$XDG_CACHE_HOME`` or ``~/.cache``.

    Raises:
        InputError: the folder cannot be written.
    """
    folder = cache or Path(os.environ.get("XDG_CACHE_HOME") or home_folder() / ".cache") / "bloodtune"
    file = folder / FILE_NAME
    if _is_intact(file):
        return file
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # Each process has its own folder, so two that start together both move a complete file into place.
        with tempfile.TemporaryDirectory(dir=folder, prefix=".drawing-") as temporary:
            drawn = Path(temporary) / FILE_NAME
            np.savez(drawn, **draw_dataset(CLASS_COUNTS, SEED))  # type: ignore[arg-type]
            drawn.replace(file)
    except OSError as error:
        raise InputError(f"{folder} cannot be written: {error.strerror}; set XDG_CACHE_HOME") from None
    return file


def _is_intact(file: Path) -> bool:
    """Read the whole file (0.05 s), so that its checksums are verified."""
    try:
        # np.load alone would leave a damaged file open.
        with file.open("rb") as stream, np.load(stream) as arrays:
            shapes = {name: array.shape for name, array in arrays.items()}
    except (OSError, ValueError, TypeError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error):
        return False
    sizes = {split: sum(counts) for split, counts in CLASS_COUNTS.items()}
    images = {f"{split}_images": (size, SIZE, SIZE, 3) for split, size in sizes.items()}
    return shapes == images | {f"{split}_labels": (size, 1) for split, size in sizes.items()}


def _draw_batch(labels: _Labels, generator: Generator) -> _Bytes:
    n = len(labels)
    look = _draw_attributes(labels, generator)
    image = _draw_background(look["radius"], generator)
    x, y = _cell_coordinates(n, generator)
    cell = _length(x, y) - look["radius"] + look["outline"] * _smooth_noise(n, 7, generator)
    nucleus = _nucleus_distance(x, y, look, generator)
    inside, core = _coverage(cell), _coverage(nucleus) * _coverage(cell + 0.5)
    _paint(image, inside, _colour(look, "cyto"))
    _paint(image, core, _colour(look, "core"))
    _paint_texture(image, inside, core, look, generator)
    return _photograph(image, generator)


def _draw_attributes(labels: _Labels, generator: Generator) -> dict[str, _Floats]:
    """Return each attribute as (N, 1, 1): mean of the class, blended with another class, plus random deviation."""
    n = len(labels)
    cumulative = np.cumsum(_ALIKE, axis=1)[labels]
    other = (generator.random((n, 1)) * cumulative[:, -1:] >= cumulative).sum(1)
    blend = _BLEND_MAX * generator.random(n) ** _BLEND_POWER
    look = {}
    for name, (*typical, deviation) in _TYPICAL.items():
        own = np.array(typical)
        mean = own[labels] + blend * (own[other] - own[labels])
        look[name] = _column(np.maximum(generator.normal(mean, deviation), 0))
    return look


def _cell_coordinates(n: int, generator: Generator) -> tuple[_Floats, _Floats]:
    """Return pixel coordinates (N, 28, 28) relative to the cell, which is shifted, rotated and stretched."""
    x, y = _grid(generator.normal(0, 0.8, (2, n)))
    angle = _column(generator.uniform(0, 2 * np.pi, n))
    stretch = _column(np.exp(generator.normal(0, 0.09, n)))
    cos, sin = np.cos(angle), np.sin(angle)
    return (x * cos + y * sin) * stretch, (y * cos - x * sin) / stretch


def _nucleus_distance(x: _Floats, y: _Floats, look: _Look, generator: Generator) -> _Floats:
    """Return the distance of pixels (N, 28, 28) to the nucleus: five discs along an arc, smaller at constrictions."""
    n = len(x)
    radius, arc = look["radius"], np.minimum(look["arc"], 1.1)
    disc = radius * look["nucleus"] * (1 - 0.52 * arc)
    bend, reach = radius * 0.62 * arc, 0.5 + 1.4 * arc
    shift, turn = look["offset"] * radius, _column(generator.uniform(0, 2 * np.pi, n))
    centre_x, centre_y = shift * np.cos(turn) - 0.45 * bend, shift * np.sin(turn)
    distance = np.full(x.shape, np.inf, np.float32)
    for k in range(5):
        angle = reach * (k / 2 - 1) + _column(generator.normal(0, 0.12, n)) * arc
        thin = 1 - look["waist"] * np.sin(np.pi * k / 4 * (look["lobes"] - 1)) ** 2
        lobe_x, lobe_y = centre_x + bend * np.cos(angle), centre_y + bend * np.sin(angle)
        np.minimum(distance, _length(x - lobe_x, y - lobe_y) - disc * thin, out=distance)
    return np.asarray(distance + 0.45 * _smooth_noise(n, 9, generator), np.float32)


def _draw_background(radius: _Floats, generator: Generator) -> _Floats:
    """Return images (N, 3, 28, 28) of plasma, red cells around the centre and specks of dye."""
    n = len(radius)
    plasma = np.array([250, 224, 200]) + generator.normal(0, 3, (n, 1)) + generator.normal(0, 2, (n, 3))
    red = np.array([203, 166, 163]) + generator.normal(0, 7, (n, 1)) + generator.normal(0, 4, (n, 3))
    bluish = generator.random(n) < 0.04
    plasma[bluish] = plasma[bluish] * 0.3 + np.array([215, 218, 240]) * 0.7
    image = np.broadcast_to(_planes(plasma), (n, 3, SIZE, SIZE)).astype(np.float32)
    crowd, plain = generator.integers(2, 8, n), np.ones((n, SIZE, SIZE), np.float32)
    for k in range(7):
        size = generator.normal(4.4, 0.5, n)
        nearest = radius[:, 0, 0] + size * generator.uniform(0.75, 1.3, n)
        away = np.maximum(nearest, generator.uniform(9, 18, n))
        angle = generator.uniform(0, 2 * np.pi, n)
        x, y = _grid(np.stack([away * np.cos(angle), away * np.sin(angle)]))
        squeeze = _column(np.exp(generator.normal(0, 0.12, n)))
        distance = _length(x * squeeze, y / squeeze)
        disc = _coverage(distance - _column(size)) * _column(crowd > k)
        middle = _column(generator.uniform(0, 1.1, n)) * _coverage((distance - _column(size) * 0.45) / 1.6)
        plain *= 1 - disc * np.maximum(1 - middle, 0)
    _paint(image, 1 - plain, _planes(red))
    x, y = _grid(generator.uniform(-14, 14, (2, n)))
    speck = _coverage(_length(x, y) - _column(generator.uniform(0.2, 1.3, n)))
    _paint(image, speck * _column(generator.random(n) < 0.12), _planes(np.array([[120, 80, 140]])))
    return image


def _paint_texture(image: _Floats, inside: _Floats, core: _Floats, look: _Look, generator: Generator) -> None:
    """Add granules and vacuoles to the cells and chromatin to their nuclei, in place."""
    n = len(image)
    fine, coarse = _smooth_noise(n, SIZE, generator), _smooth_noise(n, 15, generator)
    grain = look["granules"] * ((1 - look["coarse"]) * fine + 1.3 * look["coarse"] * coarse)
    cover = inside * (1 - core * (1 - np.minimum(look["veil"], 1)))
    holes = inside * _coverage((2.6 - _smooth_noise(n, 12, generator) - look["holes"] * 3) / 0.5)
    chromatin = 7 * core * _smooth_noise(n, SIZE, generator)
    weights = np.array([1.0, 0.9, 0.5], np.float32)[:, None, None]
    image += weights * (cover * grain + chromatin + 70 * holes)[:, None]


def _photograph(image: _Floats, generator: Generator) -> _Bytes:
    """Add blur, uneven light, stain variation and noise to images (N, 3, 28, 28); return uint8 (N, 28, 28, 3)."""
    n = len(image)
    padded = np.pad(image, ((0, 0), (0, 0), (1, 1), (1, 1)), mode="edge")
    rows = padded[:, :, :-2] + padded[:, :, 2:] + 2 * padded[:, :, 1:-1]
    soft = (rows[..., :-2] + rows[..., 2:] + 2 * rows[..., 1:-1]) / 16
    image = image + _column(generator.uniform(0.15, 0.9, n))[:, None] * (soft - image)
    x, y = _grid(np.zeros((2, n)))
    slope = _column(generator.normal(0, 0.0015, n)) * x + _column(generator.normal(0, 0.0015, n)) * y
    contrast = _planes(np.exp(generator.normal(0, 0.05, (n, 1)) + generator.normal(0, 0.02, (n, 3))))
    image = 255 - (255 - image) * contrast
    image = image * (1 + slope)[:, None] + 2.5 * generator.standard_normal(image.shape, dtype=np.float32)
    return np.clip(np.rint(image), 0, 255).astype(np.uint8).transpose(0, 2, 3, 1)


def _smooth_noise(n: int, knots: int, generator: Generator) -> _Floats:
    """Return noise (N, 28, 28) of about unit variance, interpolated from (N, ``knots``, ``knots``) random values."""
    values = generator.standard_normal((n, knots, knots), dtype=np.float32)
    if knots == SIZE:
        return values
    at = np.linspace(0, knots - 1, SIZE)[:, None] - np.arange(knots)
    weights = np.maximum(1 - np.abs(at), 0)
    weights = (weights / np.sqrt((weights**2).sum(1, keepdims=True))).astype(np.float32)
    return np.asarray(weights @ values @ weights.T, np.float32)


def _grid(centre: npt.NDArray[np.float64]) -> tuple[_Floats, _Floats]:
    """Return x (N, 1, 28) and y (N, 28, 1) in pixels from ``centre`` (2, N), given relative to the image's centre."""
    axis = np.arange(SIZE, dtype=np.float32) - (SIZE - 1) / 2
    return axis[None, None, :] - _column(centre[0]), axis[None, :, None] - _column(centre[1])


def _coverage(distance: _Floats) -> _Floats:
    # Share of a pixel inside an outline, from its distance to the outline (negative inside).
    return np.asarray(np.clip(0.5 - distance, 0, 1))


def _length(x: _Floats, y: _Floats) -> _Floats:
    # np.hypot, which guards against overflow, takes 2.7 times as long.
    return np.asarray(np.sqrt(x * x + y * y))


def _paint(image: _Floats, cover: _Floats, colour: _Floats) -> None:
    image += cover[:, None] * (colour - image)


def _colour(look: _Look, part: str) -> _Floats:
    return np.stack([look[f"{part}_{channel}"] for channel in "rgb"], axis=1)


def _column(values: npt.NDArray[Any]) -> _Floats:
    return values.astype(np.float32)[:, None, None]


def _planes(colours: npt.NDArray[Any]) -> _Floats:
    return colours.astype(np.float32)[:, :, None, None]
