"""Importance of the hyperparameters (fANOVA) in each family, at the last epoch that enough of its trials reached."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import optuna
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.importance import FanovaImportanceEvaluator, get_param_importances

from bloodtune.run.records import FAILED, TrialRecord
from bloodtune.space.configuration import FIELD_NAMES
from display_names import FAMILY_NAMES
from figures.style import BLACK, BLUE, COLUMN, PAGE, TEXT, CaptionedFigure, finish, grid_shape, new_figure, percent
from summary_data import SearchRecords

FEWEST_TRIALS = 12  # of a family at an epoch
_DRAWS = 30  # of the bootstrap
_TREES = 16
_MOST_BARS = 8
_QUANTILES = (0.1, 0.5, 0.9)


@dataclass(frozen=True)
class Importance:
    """Importance in one family: per field its share in each bootstrap draw, computed from scores at ``epoch``."""

    family: str
    epoch: int
    trials: int
    shares: Mapping[str, np.ndarray]

    def medians(self) -> dict[str, float]:
        """Return the median share of each field, largest first."""
        medians = {field: float(np.median(shares)) for field, shares in self.shares.items()}
        return dict(sorted(medians.items(), key=lambda item: -item[1]))


def importances(search: SearchRecords, rungs: Sequence[int]) -> list[Importance]:
    """Return the importance in each family that has enough trials at a rung or at the last epoch.

    The epoch is the highest one that ``FEWEST_TRIALS`` of the family's trials reached. Importance is fANOVA's (Hutter
    et al. 2014) for validation macro-F1, over the fields that all these trials have and that vary.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    curves = search.curves
    epochs = sorted({*rungs, int(curves.epoch.max())} if len(curves) else (), reverse=True)
    alive = [record for record in search.trials if record.state != FAILED]
    found = []
    for family in sorted({record.configuration.family for record in alive}):
        members = {record.trial: record for record in alive if record.configuration.family == family}
        for epoch in epochs:
            values = curves[(curves.epoch == epoch) & curves.trial.isin(members)].set_index("trial").val_macro_f1
            if len(values) >= FEWEST_TRIALS:
                shares = _bootstrap([members[trial] for trial in values.index], values.to_numpy())
                found += [Importance(family, epoch, len(values), shares)] if shares else []
                break
    return found


def overall(found: Sequence[Importance]) -> dict[str, float]:
    """Return one importance per field: the family first, then means over the families, weighted by their trials."""
    total = sum(one.trials for one in found)
    combined = {"family": 1.0} if found else {}
    for one in found:
        for field, share in one.medians().items():
            combined[field] = combined.get(field, 0.0) + share * one.trials / total
    return combined


def importance_figure(found: Sequence[Importance], mark: str) -> CaptionedFigure:
    """Draw the importance of the hyperparameters, one panel per family, with the spread over the bootstrap."""
    rows, columns = grid_shape(len(found), 2)
    bars = max(min(len(one.shares), _MOST_BARS) for one in found)
    figure, panels = new_figure(PAGE if columns > 1 else COLUMN, rows * (0.6 + 0.17 * max(bars, 4)), rows, columns)
    for axes, one in zip(panels, found, strict=False):
        _draw(axes, one)
    for axes in panels[len(found) :]:
        axes.set_visible(False)
    note = (
        f"Computed by fANOVA from the scores at the last rung or epoch that at least {FEWEST_TRIALS} trials of the "
        "family reached, because early scores are mostly noise. Bars are medians over bootstrap draws of the trials "
        f"({_DRAWS}), lines reach from their 10 % to their 90 % quantile. Only hyperparameters count that all of these "
        "trials have."
    )
    return finish(figure, "Importance of the hyperparameters for validation macro-F1, by family.", note, mark)


def _draw(axes: Axes, one: Importance) -> None:
    fields = list(one.medians())[:_MOST_BARS]
    low, middle, high = np.quantile([one.shares[field] for field in fields], _QUANTILES, axis=1)
    places = np.arange(len(fields))
    axes.barh(places, middle, color=BLUE, height=0.65, alpha=0.7)
    axes.errorbar(middle, places, xerr=(middle - low, high - middle), fmt="none", ecolor=BLACK, elinewidth=0.7)
    axes.set_yticks(places, [field.replace("_", " ") for field in fields], parse_math=False)
    axes.set_ylim(len(fields) - 0.4, -0.6)
    axes.set_xlim(0, 1.1 * float(high.max()) or 1.0)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.xaxis.set_major_formatter(lambda share, _: percent(share, 0))
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel("share of the explained variation", fontsize=TEXT)
    title = f"{FAMILY_NAMES[one.family]}: {one.trials} trials at epoch {one.epoch}"
    axes.set_title(title, fontsize=TEXT, loc="left", parse_math=False)


def _bootstrap(records: Sequence[TrialRecord], values: np.ndarray) -> dict[str, np.ndarray]:
    """Return the shares of the fields that vary, one per draw; empty if no field or no value varies."""
    rows = [record.configuration.to_mapping() for record in records]
    common = [field for field in FIELD_NAMES if all(field in row for row in rows)]
    varied = {field: found for field in common if (found := _distribution([row[field] for row in rows]))}
    generator = np.random.default_rng(0)
    draws: list[dict[str, float]] = []
    while varied and np.ptp(values) and len(draws) < _DRAWS:
        picks = generator.integers(len(rows), size=len(rows))
        if np.ptp(values[picks]):
            draws.append(_fanova([rows[pick] for pick in picks], values[picks], varied))
    return {field: np.array([draw.get(field, 0.0) for draw in draws]) for field in varied} if draws else {}


def _fanova(
    rows: Sequence[Mapping[str, object]], values: np.ndarray, distributions: dict[str, BaseDistribution]
) -> dict[str, float]:
    study = optuna.create_study(direction="maximize")
    for value, row in zip(values, rows, strict=True):
        params = {field: row[field] for field in distributions}
        study.add_trial(optuna.trial.create_trial(value=float(value), params=params, distributions=distributions))
    return dict(get_param_importances(study, evaluator=FanovaImportanceEvaluator(n_trees=_TREES, seed=0)))


def _distribution(values: list[object]) -> BaseDistribution | None:
    distinct = set(values)
    if len(distinct) < 2:
        return None
    numbers = [value for value in values if isinstance(value, (int, float)) and not isinstance(value, bool)]
    if len(numbers) < len(values):
        return CategoricalDistribution(sorted(distinct, key=str))  # type: ignore[arg-type]
    low, high = min(numbers), max(numbers)
    return FloatDistribution(low, high, log=low > 0 and high / low > 10)
