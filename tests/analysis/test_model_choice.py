"""The choice by validation, on contenders whose scores are set by hand."""

from __future__ import annotations

import dataclasses

import pytest

from bloodtune.tuning.contender import Contender
from contender_labels import FOUND, PUBLISHED
from engine_fixtures import make_configuration
from model_choice import Choices, best_of, choose
from summary_fixtures import fake_contenders

THREE_SEEDS = fake_contenders(images=20)[0][0].contender


def contender(label: str, family: str, *scores: float, origin: str = PUBLISHED) -> Contender:
    """Return a contender with a seed for each validation macro-F1."""
    pairs = zip(THREE_SEEDS.retrainings, scores, strict=False)
    retrainings = tuple(dataclasses.replace(one, val_macro_f1=score) for one, score in pairs)
    return dataclasses.replace(
        THREE_SEEDS, label=label, origin=origin, configuration=make_configuration(family), retrainings=retrainings
    )


def test_the_mean_over_seeds_decides_not_the_best_seed() -> None:
    lucky, steady = contender("lucky", "cnn", 0.9, 0.6, 0.6), contender("steady", "cnn", 0.8, 0.8, 0.8)
    assert best_of([lucky, steady]) is steady


def test_of_equal_contenders_the_first_one_wins() -> None:
    first, second = contender("first", "cnn", 0.5), contender("second", "cnn", 0.5)
    assert best_of([first, second]) is first
    assert choose([second, first]).best == "second"


def test_each_family_has_its_best_of_all_and_its_best_published() -> None:
    choices = choose(
        [
            contender("cnn 1", "cnn", 0.7),
            contender("cnn 2", "cnn", 0.8),
            contender("mlnn 1", "mlnn", 0.6),
            contender("search #1", "cnn", 0.9, origin=FOUND),
            contender("search #2", "residual", 0.5, origin=FOUND),
        ]
    )
    assert choices == Choices(
        best="search #1",
        found="search #1",
        by_family={"cnn": "search #1", "mlnn": "mlnn 1", "residual": "search #2"},
        published_by_family={"cnn": "cnn 2", "mlnn": "mlnn 1"},
    )


def test_the_best_found_one_need_not_be_the_best_of_all() -> None:
    choices = choose([contender("a", "cnn", 0.9), contender("search #1", "mlnn", 0.5, origin=FOUND)])
    assert (choices.best, choices.found) == ("a", "search #1")


def test_a_search_that_found_nothing_has_no_best_found_one() -> None:
    assert choose([contender("a", "cnn", 0.9)]).found is None


def test_choices_without_a_contender_are_refused() -> None:
    with pytest.raises(ValueError, match=r"^no contender to choose from: nothing was retrained$"):
        choose([])


def test_the_best_of_all_is_the_last_label_and_stands_there_once() -> None:
    choices = Choices("b", None, {"cnn": "a", "mlnn": "b", "residual": "c"}, {})
    assert choices.labels() == ["a", "c", "b"]


@pytest.mark.parametrize(
    ("best", "found", "labels"),
    [
        ("search #1", "search #1", ["cnn 1", "mlnn 2", "search #1"]),
        ("mlnn 2", "search #1", ["cnn 1", "mlnn 2", "search #1"]),
        ("mlnn 2", None, ["cnn 1", "mlnn 2"]),
        ("search #9", "search #1", ["cnn 1", "mlnn 2", "search #1", "search #9"]),
    ],
)
def test_each_model_is_compared_once(best: str, found: str | None, labels: list[str]) -> None:
    assert Choices(best, found, {}, {"cnn": "cnn 1", "mlnn": "mlnn 2"}).compared() == labels
