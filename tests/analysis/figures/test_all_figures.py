"""The names of the models in the figure that compares them."""

import dataclasses

import pytest

from figures.all_figures import roles_of
from model_choice import Choices

PUBLISHED = {"mlnn": "MLNN config 3", "cnn": "CNN config 2"}
CHOICES = Choices("search #12", "search #12", {}, PUBLISHED)


@pytest.mark.parametrize(
    ("best", "found", "names"),
    [
        ("search #12", "search #12", ["MLNN", "CNN", "chosen model"]),
        ("CNN config 2", "search #12", ["MLNN", "CNN\n(chosen)", "found model"]),
        ("CNN config 2", None, ["MLNN", "CNN\n(chosen)"]),
        ("search #7", "search #12", ["MLNN", "CNN", "found model", "chosen model"]),
        ("CNN config 4", "search #12", ["MLNN", "CNN", "found model", "chosen model"]),
    ],
)
def test_each_model_is_named_after_its_part(best: str, found: str | None, names: list[str]) -> None:
    choices = dataclasses.replace(CHOICES, best=best, found=found)

    roles = roles_of(choices)

    assert [roles[label] for label in choices.compared()] == names
