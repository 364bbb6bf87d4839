"""Which trials are promoted at a rung, and the reason for each that is pruned."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence

import numpy as np
import pytest

from bloodtune.space.recipe import Asha
from bloodtune.tuning.asha import CappedHalving

ASHA = Asha(max_epochs=27, first_rung=1, reduction_factor=3)


def ask(rule: CappedHalving, number: int, epoch: int, value: float) -> bool:
    should_stop, reason = rule.decide(number, epoch, value)
    assert bool(reason) == should_stop
    return not should_stop


def decide(
    values: Sequence[float],
    rung: int = 1,
    recorded: Mapping[int, Mapping[int, tuple[float, bool]]] | None = None,
    enqueued: int = 0,
) -> list[bool]:
    """Return which of trials that reach a rung one after another go on."""
    rule = CappedHalving(ASHA, recorded or {}, enqueued=enqueued)
    first = len((recorded or {}).get(rung, {}))
    return [ask(rule, first + number, rung, value) for number, value in enumerate(values)]


@pytest.mark.parametrize("rung", [1, 3, 9])
def test_the_best_third_of_those_so_far_go_on(rung: int) -> None:
    values = [0.5, 0.4, 0.6, 0.55, 0.1, 0.3, 0.58, 0.57]
    assert decide(values, rung) == [True, False, True, True, False, False, True, True]


def test_between_the_rungs_every_trial_goes_on() -> None:
    rule = CappedHalving(ASHA, {1: {0: (0.9, True)}, 9: {0: (0.9, True)}})
    assert ask(rule, 1, 2, 0.0)


def test_a_pruned_trial_gets_its_reason_again_after_a_retry() -> None:
    rule = CappedHalving(ASHA)
    for number, value in enumerate((0.5, 0.6, 0.7)):
        assert rule.decide(number, 1, value) == (False, "")
    expected = (True, "epoch 1: 0.4000 is number 4 of 4, top 2 promoted")
    assert rule.decide(3, 1, 0.4) == expected
    assert rule.decide(3, 1, 0.9) == expected


def test_the_cap_is_a_reason_of_its_own() -> None:
    rule = CappedHalving(ASHA, {1: {number: (0.9 + number / 100, True) for number in range(5)}})
    assert rule.decide(5, 1, 0.93) == (True, "epoch 1: 0.9300 is not above the best, 0.9400, and 40% were promoted")


def test_a_trial_pruned_in_an_earlier_start_is_pruned_again() -> None:
    assert CappedHalving(ASHA, {1: {0: (0.9, False)}}).decide(0, 1, 0.9) == (True, "pruned at epoch 1")


def test_trials_of_equal_worth_do_not_all_go_on() -> None:
    values = np.repeat(0.9, 60) + np.random.default_rng(0).normal(scale=0.001, size=60)
    improving = np.sort(values).reshape(-1, 3)[:, ::-1].ravel()  # each third one a new best, two close behind it
    assert 60 / 3 < sum(decide(improving)) <= 60 / 2 + 2
    assert 60 / 3 <= sum(decide(values)) <= 60 / 2


def test_of_equal_values_the_held_share_goes_on() -> None:
    assert sum(decide([0.9] * 60)) == 1 + 0.4 * 60, "none is better than another: the held share, and one"


def test_a_new_best_always_goes_on() -> None:
    assert all(decide(np.linspace(0.1, 0.9, 30)))


def test_enqueued_trials_compete_but_take_no_place_from_sampled_ones() -> None:
    values = [0.1, 0.2, 0.3, 0.4, 0.39, 0.38]
    assert decide(values) == [True, True, True, True, False, False]
    assert decide(values, enqueued=4) == [True, True, True, True, True, False], "0.38 is third of six"
    assert decide([*values[:4], 0.05], enqueued=4)[-1] is False


def test_a_trial_that_comes_by_a_rung_again_is_told_the_same() -> None:
    rule = CappedHalving(ASHA, {})
    first = [ask(rule, number, 1, value) for number, value in enumerate((0.5, 0.4, 0.6))]
    assert first == [True, False, True]
    assert [ask(rule, number, 1, 0.55) for number in range(3)] == first
    assert ask(rule, 3, 1, 0.58), "it counts once"
    assert not decide([0.5, 0.4, 0.6, 0.55, 0.55, 0.55, 0.45])[-1]


def test_a_resumed_search_decides_as_one_that_was_not_interrupted() -> None:
    values = list(np.random.default_rng(1).random(40))
    whole = decide(values)
    for cut in (1, 7, 23):
        recorded = {1: dict(enumerate(zip(values[:cut], whole[:cut], strict=True)))}
        assert decide(values[cut:], recorded=recorded) == whole[cut:]


def test_without_rungs_every_trial_runs_to_its_end() -> None:
    rule = CappedHalving(Asha(max_epochs=3, first_rung=3, reduction_factor=3), {})
    assert all(ask(rule, number, 3, value) for number, value in enumerate((0.9, 0.1)))


@pytest.mark.parametrize("rising", [True, False])
def test_what_is_needed_at_a_rung_is_what_the_next_trial_has_to_beat(rising: bool) -> None:
    values = np.random.default_rng(0).uniform(0.1, 0.9, 40)
    rule = CappedHalving(ASHA, {})
    for number, value in enumerate(np.sort(values) if rising else values):
        needed = rule.needed().get(1)
        if needed is not None:
            assert not copy.deepcopy(rule).decide(number, 1, needed + 1e-9)[0]
            assert copy.deepcopy(rule).decide(number, 1, needed - 1e-9)[0]
        ask(rule, number, 1, float(value))
    assert rule.needed().keys() == {1}
