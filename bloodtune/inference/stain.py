"""The stain of a smear: optical densities relative to the background, and thresholds from the picture itself."""

from __future__ import annotations

import math

import numpy as np
from skimage.filters import threshold_otsu

_SAMPLE = 2**16  # pixels that decide about background and thresholds
_OFFSET = 8  # grey levels, so that black pixels have a finite density
_FAINT, _DARK = 0.45, 1.8  # a nucleus is denser than the first; densities above the second do not count more


class Stain:
    """Densities of a picture, and thresholds that come from the picture itself.

    The dyes of nuclei absorb red and green light, haemoglobin and eosin absorb green and blue. So red plus green minus
    blue density is high in nuclei and low in red cells, on white, yellow and grey backgrounds.

    Attributes:
        background: colour of the picture where no cell is.
        nuclear: a pixel with a higher nuclear density belongs to a nucleus; infinite if the picture has none.
        foreground: a pixel with a higher green and blue density belongs to a cell.
        covered: share of the picture above ``foreground``.
    """

    def __init__(self, image: np.ndarray) -> None:
        """Measure a picture, uint8 (H, W, 3)."""
        step = max(1, math.isqrt(image.shape[0] * image.shape[1] // _SAMPLE))
        sample = image[::step, ::step].reshape(1, -1, 3)
        bright = sample[0, :, 1] >= np.percentile(sample[0, :, 1], 85)
        ground = np.median(sample[0, bright], axis=0)
        self.background = tuple(int(value) for value in ground)
        levels = np.arange(256)[:, None] + _OFFSET
        self._density = -np.log(levels / (ground + _OFFSET)).astype(np.float32)  # (256, 3)
        cells, nuclei, _ = self.densities(sample)
        self.foreground = _otsu(np.minimum(cells, 0.5))
        self.covered = float((cells > self.foreground).mean())
        self.nuclear = self._nuclear(cells, np.minimum(nuclei, _DARK))

    def densities(self, image: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return three densities of uint8 (H, W, 3), float32 (H, W): of cells, of nuclei, of all channels together."""
        red, green, blue = (self._density[:, channel][image[..., channel]] for channel in range(3))
        both = red + green
        return green + blue / 2, both - blue, both + blue

    def _nuclear(self, cells: np.ndarray, nuclei: np.ndarray) -> float:
        strong = nuclei[nuclei > _FAINT]
        if strong.size == 0:
            return math.inf
        level = float(strong[strong >= _otsu(strong)].mean())
        red_cells = nuclei[(cells > self.foreground) & (nuclei < _FAINT * level)]
        usual = float(np.median(red_cells)) if red_cells.size else 0.0
        return max(_FAINT, _FAINT * level, 1.6 * usual)


def _otsu(values: np.ndarray) -> float:
    return float(threshold_otsu(values)) if np.ptp(values) > 0.01 else float(values.max())
