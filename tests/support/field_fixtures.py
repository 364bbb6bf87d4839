"""Fields of view that a program drew: red cells, leukocytes and platelets in the colours of three laboratories."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image
from scipy import ndimage

# Background, red cell, cytoplasm, nucleus.
STAINS = {
    "grey": ((203, 207, 204), (186, 152, 144), (188, 172, 204), (108, 74, 184)),
    "cream": ((254, 230, 202), (204, 176, 158), (222, 190, 186), (72, 36, 102)),
    "yellow": ((252, 247, 146), (246, 236, 140), (222, 166, 104), (96, 22, 54)),
}
Cell = tuple[float, float]  # x, y of the middle in µm


class Field:
    """A field that is drawn in micrometres: ``field.leukocyte(20, 30)``, then ``field.pixels()``."""

    def __init__(self, width: float, height: float, scale: float = 10, stain: str = "grey") -> None:
        """Start with the background; ``scale`` is in pixels per µm."""
        self.scale = scale
        self.ground, self.red, self.cytoplasm, self.nucleus = STAINS[stain]
        self._y, self._x = np.mgrid[: round(height * scale), : round(width * scale)].astype(np.float32) / scale
        self._image = np.empty((*self._x.shape, 3), np.float32)
        self._image[:] = self.ground

    def disc(self, x: float, y: float, diameter: float, colour: Sequence[float]) -> None:
        self._image[(self._x - x) ** 2 + (self._y - y) ** 2 < (diameter / 2) ** 2] = colour

    def red_cells(self, *places: Cell, diameter: float = 7.2) -> Field:
        for x, y in places:
            self.disc(x, y, diameter, self.red)
            self.disc(x, y, diameter * 0.35, [(r + g) / 2 for r, g in zip(self.red, self.ground, strict=True)])
        return self

    def leukocyte(self, x: float, y: float, lobes: Sequence[Cell] = ((0, 0),), lobe: float = 8) -> Field:
        """Draw a cell of 12 µm with nuclear lobes at places relative to its middle."""
        self.disc(x, y, 12, self.cytoplasm)
        for dx, dy in lobes:
            self.disc(x + dx, y + dy, lobe, self.nucleus)
        return self

    def platelet(self, x: float, y: float) -> Field:
        self.disc(x, y, 2.5, self.nucleus)
        return self

    def pixels(self, blur: float = 0.15, noise: float = 2) -> np.ndarray:
        """Return uint8 (H, W, 3), blurred by so many µm, with noise in grey levels."""
        image = ndimage.gaussian_filter(self._image, (blur * self.scale, blur * self.scale, 0))
        image += np.random.default_rng(0).normal(0, noise, image.shape)
        return np.clip(image, 0, 255).astype(np.uint8)

    def picture(self) -> Image.Image:
        return Image.fromarray(self.pixels())


RED = ((6, 7), (16, 8), (7, 18), (42, 7), (55, 8), (56, 20), (8, 40), (20, 41), (55, 41), (44, 40))


def usual_field(scale: float = 10, stain: str = "grey") -> Field:
    """Return a field of 64 x 48 µm with ten red cells, a neutrophil at (30, 24) and a platelet."""
    field = Field(64, 48, scale, stain).red_cells(*RED).platelet(44, 24)
    return field.leukocyte(30, 24, ((-2.5, -1.5), (2.5, -1.5), (0, 2.8)), 4.2)
