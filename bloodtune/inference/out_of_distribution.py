"""Guard of a model: tells images unlike its training images by the distance of their features."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from bloodtune.errors import InputError, one_line

GUARD = "guard.safetensors"

# The share of validation images that pass. A little more than the 95 % of images of the same kind that should.
PASSED = 0.97


@dataclass(frozen=True)
class Guard:
    """The classes' mean features, and the limit of an image's distance to the nearest of them.

    The distance is Mahalanobis' with one covariance for all classes (Lee et al., A Simple Unified Framework for
    Detecting Out-of-Distribution Samples, 2018).

    Args:
        means: float32 (K, D), in whitened coordinates.
        whitening: float32 (D, D): features times it have unit covariance around their class's mean.
        limit: the largest squared distance of an image that passes.
    """

    means: np.ndarray
    whitening: np.ndarray
    limit: float

    @classmethod
    def fit(cls, features: np.ndarray, labels: np.ndarray, held_out: np.ndarray) -> Guard | None:
        """Fit means and covariance to training features (N, D) with labels (N,), the limit to ``held_out`` (M, D).

        None if no feature varies within a class.
        """
        classes, places = np.unique(labels, return_inverse=True)
        means = np.stack([features[labels == one].mean(0) for one in classes])
        around = (features - means[places]).astype(np.float64)
        values, vectors = np.linalg.eigh(around.T @ around / len(around))
        if not values.max() > 0:
            return None
        # A feature that never varies, such as a unit that is always zero, gets the smallest spread that counts.
        whitening = vectors / np.sqrt(np.maximum(values, 1e-6 * values.max()))
        whitening = whitening.astype(np.float32)
        fitted = cls((means.astype(np.float64) @ whitening).astype(np.float32), whitening, 0.0)
        return cls(fitted.means, fitted.whitening, float(np.quantile(fitted.distances(held_out), PASSED)))

    @classmethod
    def load(cls, folder: Path) -> Guard | None:
        """Read the guard of a model folder; None if it has none, as models of older versions and of searches.

        Raises:
            InputError: the file is damaged.
        """
        file = folder / GUARD
        if not file.exists():
            return None
        try:
            found = load_file(file)
            guard = cls(found["means"], found["whitening"], float(found["limit"][0]))
        except (OSError, SafetensorError, LookupError, TypeError, ValueError) as error:
            reason = f"{error} is missing" if isinstance(error, KeyError) else one_line(error)
            raise InputError(f"{file} does not describe a guard: {reason}") from None
        size = guard.means.shape[-1] if guard.means.ndim == 2 and len(guard.means) else 0
        if not size or guard.whitening.shape != (size, size):
            shapes = f"means {guard.means.shape} and whitening {guard.whitening.shape}"
            raise InputError(f"{file} does not describe a guard: {shapes} do not fit each other")
        return guard

    def to_bytes(self) -> bytes:
        """Return the content of ``guard.safetensors``."""
        limit = np.array([self.limit], np.float32)
        arrays = {"means": self.means, "whitening": self.whitening, "limit": limit}
        return save({name: np.ascontiguousarray(array) for name, array in arrays.items()})

    def distances(self, features: np.ndarray) -> np.ndarray:
        """Return the squared distance (N,) of features (N, D) to the nearest class."""
        whitened = features.astype(np.float64) @ self.whitening
        return np.asarray(np.min([((whitened - mean) ** 2).sum(1) for mean in self.means], axis=0))

    def knows(self, features: np.ndarray) -> np.ndarray:
        """Return for each image, features (N, D), whether it is like the training images."""
        return self.distances(features) <= self.limit
