"""Ensembles: networks of the best found configuration averaged as one contender, and a student that learns from it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bloodtune.data.dataset import Dataset
from bloodtune.data.npz import Split
from bloodtune.files import replace
from bloodtune.inference.classifier import Classifier
from bloodtune.training import metrics
from bloodtune.training.models.ensemble import Ensemble
from bloodtune.tuning.retrained_models import Contender, Retraining
from bloodtune.tuning.retraining_cache import CURVE, RESULT, Candidate
from candidates import Settings
from contender_labels import DISTILLED, ENSEMBLE, FOUND
from model_choice import best_of, choose

# Trains candidates over a number of seeds; those that diverged are absent.
TrainCandidates = Callable[[Sequence[Candidate], int], list[Contender]]


def combine(
    contenders: Sequence[Contender], settings: Settings, dataset: Dataset, cache: Path, train: TrainCandidates
) -> list[Contender]:
    """Return the contenders that follow from others: the ensemble, and with ``distill`` its student.

    The members of the ensemble are ``settings.ensemble`` seeds of the best found contender. The student has the
    configuration of the smallest found contender within a standard error of it, and its schedule is the longer of the
    two. Both are empty without found contenders.
    """
    found = [one for one in contenders if one.origin == FOUND]
    if not found or settings.ensemble is None:
        return []
    best = best_of(found)
    label = f"ensemble of {settings.ensemble}: {best.label}"
    members = train([Candidate(label, ENSEMBLE, best.configuration, best.max_epochs)], settings.ensemble)
    if not members:
        return []
    ensemble = make_ensemble(members[0], dataset.val, cache)
    if not settings.distill:
        return [ensemble]
    labels = {one.label: one for one in found}
    small = labels[choose(found, dataset.scored_counts).best]
    student = Candidate(
        label=f"{small.label}, distilled",
        origin=DISTILLED,
        configuration=small.configuration,
        epochs=max(small.max_epochs, best.max_epochs),
        teacher=ensemble.retrainings[0].model,
    )
    return [ensemble, *train([student], settings.seeds)]


def make_ensemble(members: Contender, val: Split, cache: Path) -> Contender:
    """Return the trainings of a contender as one contender, whose model is kept in a folder below ``cache``.

    A kept model whose result is missing or damaged is made anew.
    """
    content = "".join(str(one.model.relative_to(cache.absolute())) for one in members.retrainings)
    folder = cache.absolute() / f"ensemble-{hashlib.sha256(content.encode()).hexdigest()[:10]}"
    result = _read_result(folder) or _keep(folder, members, val)
    curve = pd.read_csv(folder / CURVE)
    return Contender(
        label=members.label,
        origin=ENSEMBLE,
        configuration=members.configuration,
        max_epochs=members.max_epochs,
        retrainings=(Retraining(curve=curve, model=folder, **result),),
    )


def _read_result(folder: Path) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = json.loads((folder / RESULT).read_bytes())
    except (OSError, ValueError):
        return None
    return found


def _keep(folder: Path, members: Contender, val: Split) -> dict[str, Any]:
    networks = [Classifier.load(one.model) for one in members.retrainings]
    classifier = Classifier(
        Ensemble([one.network for one in networks]),
        members.configuration,
        networks[0].class_names,
        networks[0].size,
        networks[0].channels,
        networks[0].precision,
    )
    predicted = classifier.predict(val.images).argmax(axis=1)
    matrix = metrics.confusion_matrix(val.labels, predicted, len(classifier.class_names))
    trained = members.retrainings
    result = {
        "seed": trained[0].seed,
        "epochs": max(one.epochs for one in trained),
        "best_epoch": trained[members.median].best_epoch,
        "val_macro_f1": float(metrics.macro_f1(matrix)),
        "val_accuracy": float(metrics.accuracy(matrix)),
        "train_seconds": round(float(np.sum([one.train_seconds for one in trained])), 2),
        "parameters": sum(one.parameters for one in trained),
    }
    classifier.save(folder, **result)
    # The figure of training losses shows the mean of the members.
    curve = pd.concat(one.curve for one in trained).groupby("epoch", as_index=False).mean()
    curve.to_csv(folder / CURVE, index=False)
    replace(folder / RESULT, json.dumps(result, indent=2).encode())
    return result
