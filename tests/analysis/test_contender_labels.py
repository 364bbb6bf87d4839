"""Labels of contenders, which configurations are published, and which contenders share their trainings."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from bloodtune.tuning.retrained_models import Contender
from contender_labels import is_published, shared_trainings, trial_label
from summary_fixtures import fake_contenders, published_configurations

CONTENDER = fake_contenders(images=20)[0][0].contender


def named(label: str, *models: str) -> Contender:
    """Return a contender with this label whose seeds have these model folders."""
    retrainings = zip(CONTENDER.retrainings, models, strict=False)
    kept = tuple(dataclasses.replace(retraining, model=Path(model)) for retraining, model in retrainings)
    return dataclasses.replace(CONTENDER, label=label, retrainings=kept)


def test_a_found_configuration_is_called_by_the_number_of_its_trial() -> None:
    assert trial_label(17) == "search #17"


@pytest.mark.parametrize("label", published_configurations())
def test_a_configuration_of_a_paper_is_published(label: str) -> None:
    assert is_published(published_configurations()[label])


@pytest.mark.parametrize("change", [{"learning_rate": 0.02}, {"batch_size": 64}, {"dropout": 0.1}, {"dihedral": True}])
def test_a_configuration_near_to_one_of_a_paper_is_not(change: dict[str, Any]) -> None:
    assert not is_published(dataclasses.replace(published_configurations()["CNN config 1"], **change))


def test_contenders_with_trainings_of_their_own_need_no_sentence() -> None:
    assert shared_trainings([named("a", "x"), named("b", "y")]) == ""
    assert shared_trainings([]) == ""


def test_contenders_that_share_trainings_are_named_together() -> None:
    contenders = [named("a", "x"), named("b", "y"), named("c", "x"), named("d", "y"), named("e", "z"), named("f", "x")]
    assert shared_trainings(contenders) == " Mathematically the same and trained once: a and c and f; b and d."
