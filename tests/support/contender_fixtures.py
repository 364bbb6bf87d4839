"""Contenders of an invented summary, and what the tests of figures ask of them."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from display_names import data_mark
from figures.importance import Importance
from scores import score_intervals
from summary_fixtures import fake_contenders, fake_provenance

if TYPE_CHECKING:  # at run time pytest would take TestedContender for a class of tests
    from bloodtune.tuning.retrained_models import Contender, TestedContender

MARK = data_mark(fake_provenance(synthetic=True))
PUBLISHED = {"MLNN config 1": 88.56, "MLNN config 3": 88.57, "CNN config 2": 95.04}
TESTED, LABELS, NAMES = fake_contenders()
BY_LABEL = {tested.contender.label: tested for tested in TESTED}
MLNN, CNN = ([BY_LABEL[f"{family} config {i}"] for i in range(1, 5)] for family in ("MLNN", "CNN"))
SHOWN = {
    "MLNN\n(config 3)": MLNN[2].contender,
    "CNN\n(config 2)": CNN[1].contender,
    "found\n(search #12)": BY_LABEL["search #12"].contender,
}
INTERVALS = {
    label: score_intervals(LABELS, one.median_probabilities, np.random.default_rng(0), 20)
    for label, one in BY_LABEL.items()
}


def random_images(count: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, *shape), dtype=np.uint8)


def contenders_of(tested: list[TestedContender]) -> list[Contender]:
    return [one.contender for one in tested]


def cut_to_one_seed(tested: TestedContender) -> TestedContender:
    contender = dataclasses.replace(tested.contender, retrainings=tested.contender.retrainings[:1])
    return dataclasses.replace(tested, contender=contender, probabilities=tested.probabilities[:1])


def make_importance(family: str) -> Importance:
    return Importance(family, 9, 14, {"learning_rate": np.array([0.5, 0.7]), "label_smoothing": np.array([0.5, 0.3])})
