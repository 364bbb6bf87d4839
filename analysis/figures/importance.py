"""Importance of the hyperparameters (fANOVA) at one rung, so that pruned trials count."""

from __future__ import annotations

from collections.abc import Sequence

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.importance import FanovaImportanceEvaluator, get_param_importances

from bloodtune.run.records import FAILED
from bloodtune.space.configuration import FIELD_NAMES
from summary import SearchRecords


def rung_importance(search: SearchRecords, rungs: Sequence[int]) -> tuple[dict[str, float], int]:
    """Return the importance of each field that varies and that all trials have, and the rung of its computation.

    The rung is the first rung, which nearly all trials reach; without rungs, the last epoch that all trials reached.
    Importance is fANOVA's (Hutter et al. 2014) for validation macro-F1 at that rung, with a sum of 1 over the fields.
    It is empty with fewer than four trials, or if no field or no score varies.
    """
    records = [record for record in search.trials if record.state != FAILED and record.epochs]
    rung = rungs[0] if rungs else min((record.epochs for record in records), default=0)
    curves = search.curves
    values = curves[curves.epoch == rung].set_index("trial").val_macro_f1
    records = [record for record in records if record.trial in values.index]
    rows = [record.configuration.to_mapping() for record in records]
    # A field that only some trials have, such as a family's sizes, would exclude all other trials.
    common = [field for field in FIELD_NAMES if all(field in row for row in rows)]
    varied = {field: distribution for field in common if (distribution := _distribution([row[field] for row in rows]))}
    if len(records) < 4 or not varied or values[[record.trial for record in records]].nunique() < 2:
        return {}, rung
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(direction="maximize")
    for record, row in zip(records, rows, strict=True):
        study.add_trial(
            optuna.trial.create_trial(
                value=float(values[record.trial]),
                params={field: row[field] for field in varied},
                distributions=varied,
            )
        )
    return dict(get_param_importances(study, evaluator=FanovaImportanceEvaluator(seed=0))), rung


def _distribution(values: list[object]) -> BaseDistribution | None:
    distinct = set(values)
    if len(distinct) < 2:
        return None
    numbers = [value for value in values if isinstance(value, (int, float)) and not isinstance(value, bool)]
    if len(numbers) < len(values):
        return CategoricalDistribution(sorted(distinct, key=str))  # type: ignore[arg-type]
    low, high = min(numbers), max(numbers)
    return FloatDistribution(low, high, log=low > 0 and high / low > 10)
