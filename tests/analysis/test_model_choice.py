"""The choice by validation, on contenders whose scores are set by hand."""

from __future__ import annotations

import dataclasses

import pytest

from bloodtune.tuning.retrained_models import Contender
from contender_labels import FOUND, PUBLISHED
from engine_fixtures import make_configuration
from model_choice import Choices, best_of, choose
from summary_fixtures import fake_contenders

THREE_SEEDS = fake_contenders(images=20)[0][0].contender


def contender(label: str, family: str, *scores: float, origin: str = PUBLISHED, parameters: int = 1) -> Contender:
    """Return a contender with a seed for each validation macro-F1."""
    pairs = zip(THREE_SEEDS.retrainings, scores, strict=False)
    retrainings = tuple(dataclasses.replace(one, val_macro_f1=score, parameters=parameters) for one, score in pairs)
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


# Of two classes with 50 validation images each, 0.9 has a standard error of sqrt(0.9 * 0.1 / 100) = 0.03.
VAL_COUNTS = (50, 50)


@pytest.mark.parametrize(
    ("scores", "chosen"),
    [
        ({1000: 0.9, 100: 0.88, 10: 0.86}, 100),  # the smallest one is more than an error below
        ({1000: 0.9, 100: 0.86, 10: 0.871}, 10),  # the smallest near one, not the next smaller one
        ({1000: 0.9, 100: 0.869, 10: 0.1}, 1000),
        ({10: 0.9, 100: 0.89}, 10),
    ],
)
def test_small_takes_the_fewest_parameters_within_one_standard_error(scores: dict[int, float], chosen: int) -> None:
    contenders = [contender(str(count), "cnn", score, parameters=count) for count, score in scores.items()]
    choices = choose(contenders, VAL_COUNTS)
    assert choices.best == str(chosen)
    highest = max(scores, key=lambda count: scores[count])
    assert choices.small is not None and choices.small.highest == str(highest)
    assert choices.small.error == pytest.approx(0.03)
    assert choose(contenders).best == str(highest) and choose(contenders).small is None


def test_the_score_of_small_is_the_mean_over_seeds() -> None:
    highest = contender("highest", "cnn", 0.9, 0.9, 0.9, parameters=1000)
    lucky = contender("lucky", "cnn", 0.91, 0.6, 0.6, parameters=10)
    steady = contender("steady", "cnn", 0.87, 0.88, 0.89, parameters=100)
    assert choose([highest, lucky, steady], VAL_COUNTS).best == "steady"


def test_of_equally_small_ones_the_better_one_is_chosen() -> None:
    short, longer = contender("short", "cnn", 0.88, parameters=10), contender("longer", "cnn", 0.89, parameters=10)
    highest = contender("highest", "cnn", 0.9, parameters=11)
    assert choose([highest, short, longer], VAL_COUNTS).best == "longer"


def test_small_leaves_the_best_of_the_search_and_of_each_family() -> None:
    choices = choose(
        [
            contender("cnn 1", "cnn", 0.88, parameters=10),
            contender("cnn 2", "cnn", 0.89, parameters=100),
            contender("search #1", "residual", 0.9, parameters=1000, origin=FOUND),
        ],
        VAL_COUNTS,
    )
    assert (choices.best, choices.found) == ("cnn 1", "search #1")
    assert choices.by_family == {"cnn": "cnn 2", "residual": "search #1"}
    assert choices.labels() == ["cnn 2", "search #1", "cnn 1"]
    assert choices.compared() == ["cnn 2", "search #1", "cnn 1"]


def test_the_reason_gives_rule_error_and_scores() -> None:
    small, large = contender("a", "cnn", 0.88, parameters=10), contender("b", "cnn", 0.9, parameters=100)
    choices = choose([small, large], VAL_COUNTS)
    assert choices.small is not None
    reason = choices.small.reason(small)
    assert "at most one standard error below the highest (--prefer small)" in reason
    assert "3.0 points (binomial, from the validation images of each class)" in reason
    assert reason.endswith("the highest score 90.0 % of b, that of this model 88.0 %")
    assert choices.small.reason(large).endswith("the highest score 90.0 % of this model")


def test_choose_takes_the_best_mean_of_each_family() -> None:
    contenders = [one.contender for one in fake_contenders()[0]]
    choices = choose(contenders)
    assert choices.best == choices.found == "search #12"
    assert choose([one for one in contenders if one.origin != FOUND]).found is None
    assert list(choices.by_family) == ["mlnn", "cnn", "lightweight", "residual"]
    assert "residual" not in choices.published_by_family
    assert choices.labels()[-1] == choices.best
    with pytest.raises(ValueError, match="no contender to choose from: nothing was retrained"):
        choose([])
