"""Which trials go on at a rung."""

from collections.abc import Mapping, Sequence

import numpy as np
import pytest

from bloodtune.halving import HeldHalving
from bloodtune.recipe import Asha

ASHA = Asha(max_epochs=27, first_rung=1, reduction_factor=3)


def decide(
    values: Sequence[float], rung: int = 1, recorded: Mapping[int, Sequence[tuple[float, bool]]] | None = None
) -> list[bool]:
    """Return which of trials that reach a rung one after another go on."""
    scheduler = HeldHalving(ASHA, recorded or {})
    answers = [scheduler.on_trial_result(None, None, {"epoch": rung, "val_macro_f1": value}) for value in values]
    assert set(answers) <= {"CONTINUE", "STOP"}
    return [answer == "CONTINUE" for answer in answers]


@pytest.mark.parametrize("rung", [1, 3, 9])
def test_the_best_third_of_those_so_far_go_on(rung: int) -> None:
    values = [0.5, 0.4, 0.6, 0.55, 0.1, 0.3, 0.58, 0.57]
    # The last one is third of eight, but four have gone on already.
    assert decide(values, rung) == [True, False, True, True, False, False, True, False]


def test_between_the_rungs_and_without_a_score_every_trial_goes_on() -> None:
    scheduler = HeldHalving(ASHA, {1: [(0.9, True)], 9: [(0.9, True)]})
    assert scheduler.on_trial_result(None, None, {"epoch": 2, "val_macro_f1": 0.0}) == "CONTINUE"
    assert scheduler.on_trial_result(None, None, {"done": True, "failure": "loss is nan"}) == "CONTINUE"


def test_trials_of_equal_worth_do_not_all_go_on() -> None:
    values = np.repeat(0.9, 60) + np.random.default_rng(0).normal(scale=0.001, size=60)
    improving = np.sort(values).reshape(-1, 2)[:, ::-1].ravel()  # each second one a new best
    assert sum(decide(improving)) <= 60 / 2 + 1
    assert 60 / 3 - 5 < sum(decide(values)) <= 60 / 3 + 1


def test_of_equal_values_a_third_go_on() -> None:
    assert 60 / 3 <= sum(decide([0.9] * 60)) <= 60 / 3 + 2


def test_a_new_best_always_goes_on() -> None:
    assert all(decide(np.linspace(0.1, 0.9, 30)))


def test_a_resumed_search_decides_as_one_that_was_not_interrupted() -> None:
    values = list(np.random.default_rng(1).random(40))
    whole = decide(values)
    for cut in (1, 7, 23):
        recorded = {1: list(zip(values[:cut], whole[:cut], strict=True))}
        assert decide(values[cut:], recorded=recorded) == whole[cut:]


def test_without_rungs_every_trial_runs_to_its_end() -> None:
    scheduler = HeldHalving(Asha(max_epochs=3, first_rung=3, reduction_factor=3), {})
    for value in (0.9, 0.1):
        assert scheduler.on_trial_result(None, None, {"epoch": 3, "val_macro_f1": value}) == "CONTINUE"
