"""Surrogate of a table of learning curves: a random forest, the residual of the nearest row, and seeded noise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from scipy.spatial.distance import cdist
from scipy.stats import spearmanr
from sklearn.ensemble import RandomForestRegressor
from sklearn.model_selection import KFold

from curves.spaces import Encoder

TREES = 60
DRAWS = 9  # noise curves per configuration: the first training and eight retrainings
SMOOTHED = 5  # epochs of the moving average that separates a configuration's own curve from noise
FOLDS = 5


@dataclass(frozen=True)
class Answers:
    """Answers for n configurations: natural logarithms of errors, and seconds.

    ``log_errors`` (n, epochs) are free of noise, ``noise`` (n, DRAWS, epochs) is added to them, ``seconds`` (n,) are
    per epoch.
    """

    log_errors: np.ndarray
    noise: np.ndarray
    seconds: np.ndarray


class Surrogate(Protocol):
    """A function from configurations to curves."""

    def answer(self, mappings: Sequence[Mapping[str, Any]]) -> Answers:
        """Return the curves of configurations."""


@dataclass(frozen=True)
class Rows:
    """A table: configurations, ``errors`` (n, epochs) above 0, ``seconds`` (n,) per epoch (NaN where unknown).

    Rows of the same configuration are trainings with different seeds.
    """

    mappings: tuple[Mapping[str, Any], ...]
    errors: np.ndarray
    seconds: np.ndarray


class Forest:
    """A random forest packed into arrays: one configuration takes 0.3 ms, where scikit-learn takes 10."""

    def __init__(self, inputs: np.ndarray, outputs: np.ndarray) -> None:
        """Fit ``inputs`` (n, columns) to ``outputs`` (n, m)."""
        model = RandomForestRegressor(TREES, min_samples_leaf=2, max_features=0.6, oob_score=True, random_state=0)
        outputs = outputs.reshape(len(inputs), -1)
        model.fit(inputs, outputs if outputs.shape[1] > 1 else outputs[:, 0])
        trees = [estimator.tree_ for estimator in model.estimators_]
        sizes = np.array([tree.node_count for tree in trees])
        self._roots = np.concatenate([[0], np.cumsum(sizes)[:-1]])
        start = np.repeat(self._roots, sizes)
        leaf = np.concatenate([tree.children_left for tree in trees]) < 0
        # A leaf leads to itself, so that all trees can be walked down equally often.
        itself = np.arange(sizes.sum())
        self._left = np.where(leaf, itself, np.concatenate([tree.children_left for tree in trees]) + start)
        self._right = np.where(leaf, itself, np.concatenate([tree.children_right for tree in trees]) + start)
        self._feature = np.where(leaf, 0, np.concatenate([tree.feature for tree in trees]))
        self._threshold = np.concatenate([tree.threshold for tree in trees])
        self._values = np.concatenate([tree.value[:, :, 0] for tree in trees]).astype(np.float32)
        self._depth = max(tree.max_depth for tree in trees)
        self.importances: np.ndarray = model.feature_importances_
        # Predictions of each row by the trees that have not seen it.
        self.out_of_bag: np.ndarray = model.oob_prediction_.reshape(len(inputs), -1)

    def __call__(self, inputs: np.ndarray) -> np.ndarray:
        """Return predictions (n, m) for ``inputs`` (n, columns)."""
        inputs = inputs.astype(np.float32)
        rows = np.arange(len(inputs))[:, None]
        nodes = np.broadcast_to(self._roots, (len(inputs), len(self._roots)))
        for _ in range(self._depth):
            goes_left = inputs[rows, self._feature[nodes]] <= self._threshold[nodes]
            nodes = np.where(goes_left, self._left[nodes], self._right[nodes])
        return np.stack([self._values[leaves].mean(axis=0, dtype=float) for leaves in nodes])


class ForestSurrogate:
    """A forest's prediction, plus the smoothed residual of the nearest row, plus noise of a near row.

    A forest's predictions alone would be too much alike: they shrink towards the mean. So each configuration has the
    residual curve of the nearest row (distances weighted by the forest's importances). The residual is split by a
    moving average: the smooth part belongs to the configuration, the rest is the noise of one training. Noise is drawn
    from the ``DRAWS`` nearest rows. Where a table has several seeds of a configuration, their differences are the noise
    instead.
    """

    def __init__(self, rows: Rows) -> None:
        self._encoder = Encoder(rows.mappings)
        groups = _same(rows.mappings)
        inputs = self._encoder([rows.mappings[group[0]] for group in groups])
        logs = np.log(rows.errors)
        means = np.stack([logs[group].mean(axis=0) for group in groups])
        self._forest = Forest(inputs, means)
        residuals = means - self._forest.out_of_bag
        self._smooth = _moving_average(residuals)
        self._weights = np.sqrt(self._forest.importances)
        self._places = inputs * self._weights
        noise = [np.sqrt(len(g) / (len(g) - 1)) * (logs[g] - logs[g].mean(axis=0)) for g in groups if len(g) > 1]
        if noise:
            self._noise = np.concatenate(noise)
            self._noise_places = np.concatenate(
                [self._places[[i] * len(g)] for i, g in enumerate(groups) if len(g) > 1]
            )
        else:
            self._noise, self._noise_places = residuals - self._smooth, self._places
        self._range = logs.min() - 0.1, logs.max()
        self._seconds = _fit_seconds(inputs, np.array([np.median(rows.seconds[group]) for group in groups]))

    def answer(self, mappings: Sequence[Mapping[str, Any]]) -> Answers:
        """Return the curves of configurations."""
        inputs = self._encoder(mappings)
        places = inputs * self._weights
        nearest = cdist(places, self._places, "sqeuclidean").argmin(axis=1)
        logs = np.clip(self._forest(inputs) + self._smooth[nearest], *self._range)
        distances = cdist(places, self._noise_places, "sqeuclidean")
        near = np.argsort(distances, axis=1, kind="stable")[:, np.arange(DRAWS) % distances.shape[1]]
        seconds = np.exp(self._seconds(inputs)[:, 0]) if self._seconds else np.ones(len(inputs))
        return Answers(logs, self._noise[near], seconds)


def held_out_error(rows: Rows) -> dict[str, float]:
    """Return the forest's error on configurations it has not seen, by five-fold cross-validation.

    Returns:
        ``rmse`` of the log error over all epochs, ``spearman`` at the last epoch, and ``spread``: the standard
        deviation of the log error at the last epoch.
    """
    groups = _same(rows.mappings)
    inputs = Encoder(rows.mappings)([rows.mappings[group[0]] for group in groups])
    outputs = np.stack([np.log(rows.errors[group]).mean(axis=0) for group in groups])
    predicted = np.empty_like(outputs)
    for train, test in KFold(FOLDS, shuffle=True, random_state=0).split(inputs):
        predicted[test] = Forest(inputs[train], outputs[train])(inputs[test])
    return {
        "rmse": float(np.sqrt(np.mean((predicted - outputs) ** 2))),
        "spearman": float(spearmanr(predicted[:, -1], outputs[:, -1]).statistic),
        "spread": float(outputs[:, -1].std()),
    }


def _same(mappings: Sequence[Mapping[str, Any]]) -> list[list[int]]:
    # Indices of the rows that have the same configuration.
    groups: dict[tuple[Any, ...], list[int]] = {}
    for index, mapping in enumerate(mappings):
        groups.setdefault(tuple(sorted(mapping.items())), []).append(index)
    return list(groups.values())


def _moving_average(curves: np.ndarray) -> np.ndarray:
    padded = np.pad(curves, ((0, 0), (SMOOTHED // 2, SMOOTHED // 2)), mode="edge")
    windows: np.ndarray = np.lib.stride_tricks.sliding_window_view(padded, SMOOTHED, axis=1)
    return np.asarray(windows.mean(axis=-1))


def _fit_seconds(inputs: np.ndarray, seconds: np.ndarray) -> Forest | None:
    known = np.isfinite(seconds)
    return Forest(inputs[known], np.log(seconds[known])) if known.any() and np.ptp(seconds[known]) else None
