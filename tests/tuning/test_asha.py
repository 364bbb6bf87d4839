"""ASHA at a rung: trials that pause, go on or end, and the reason of each end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
import pytest

from bloodtune.tuning.asha import CONTINUE, PAUSE, STOP, WaitingHalving

RUNGS = (1, 3, 9)


def decide(rule: WaitingHalving, values: Sequence[float], rung: int = 1, first: int = 0) -> list[str]:
    """Return the verdicts for trials that reach a rung one after another."""
    return [rule.decide(number, rung, value)[0] for number, value in enumerate(values, start=first)]


def search(
    values: Sequence[float],
    trials: int | None = None,
    rungs: Sequence[int] = RUNGS,
    factors: Sequence[int] = (3, 3, 3),
) -> dict[int, int]:
    """Run a whole search with one worker; return the rungs that each trial passed. A trial's values are all equal."""
    rule, passed, new = WaitingHalving(rungs, factors, trials=trials), Counter[int](), iter(range(len(values)))
    stopped: set[int] = set()
    number: int | None = next(new)
    while number is not None:
        assert number not in stopped
        while passed[number] < len(rungs):
            verdict, _ = rule.decide(number, rungs[passed[number]], values[number])
            if verdict != CONTINUE:
                stopped |= {number} if verdict == STOP else set()
                break
            passed[number] += 1
        stopped |= {ended for ended, _ in rule.dismiss()}
        number = rule.resume()
        if number is None and (number := next(new, None)) is not None:
            continue
        number = rule.resume(is_last=True) if number is None else number
        if number is not None:
            passed[number] += 1
    rule.dismiss(is_last=True)
    return dict(passed)


def test_every_third_trial_at_a_rung_makes_a_place_for_the_best() -> None:
    rule = WaitingHalving(RUNGS, (3, 3, 3))
    assert decide(rule, [0.5, 0.6]) == [PAUSE, PAUSE]
    assert rule.resume() is None
    assert decide(rule, [0.4], first=2) == [PAUSE]
    assert (rule.resume(), rule.resume()) == (1, None)
    assert decide(rule, [0.1, 0.2], first=3) == [PAUSE, PAUSE]
    assert decide(rule, [0.7], first=5) == [CONTINUE], "the best of six need not pause"
    assert rule.resume() is None


def test_a_better_trial_at_a_higher_rung_comes_first() -> None:
    rule = WaitingHalving(RUNGS, (3, 3, 3))
    decide(rule, [0.1] * 9)
    assert [rule.resume() for _ in range(3)] == [0, 1, 2], "of equal trials the first"
    assert decide(rule, [0.2, 0.3, 0.1], rung=3) == [PAUSE, PAUSE, PAUSE]
    assert decide(rule, [0.9, 0.1, 0.1], first=9) == [PAUSE] * 3, "number 9 would be next at its rung"
    assert [rule.resume() for _ in range(3)] == [1, 9, None]


def test_no_more_than_a_third_ever_goes_on() -> None:
    rising = np.linspace(0.1, 0.9, 60)
    capped, plain = WaitingHalving(RUNGS, (3, 3, 3)), WaitingHalving(RUNGS, (3, 3, 3), is_capped=False)
    for rule, most in ((capped, 20), (plain, 60)):
        went_on = decide(rule, rising).count(CONTINUE)
        while rule.resume() is not None:
            went_on += 1
        assert went_on <= most
    assert went_on > 30, "without the cap a place opens whenever those that went on are overtaken"


@pytest.mark.parametrize("trials", [None, 64])
@pytest.mark.parametrize("order", ["random", "rising", "falling", "equal"])
def test_64_trials_leave_21_at_the_second_rung_7_at_the_third_and_2_at_the_end(order: str, trials: int | None) -> None:
    values = np.random.default_rng(0).random(64).round(6)
    values = {"random": values, "rising": np.sort(values), "falling": -np.sort(-values), "equal": values * 0}[order]
    passed = search(values.tolist(), trials)
    assert [sum(n >= rung for n in passed.values()) for rung in (1, 2, 3)] == [21, 7, 2]


@pytest.mark.parametrize("trials", [None, 64])
def test_each_rung_has_its_own_factor(trials: int | None) -> None:
    values = np.random.default_rng(0).random(64).tolist()
    passed = search(values, trials, factors=(2, 4, 8))
    assert [sum(n >= rung for n in passed.values()) for rung in (1, 2, 3)] == [32, 8, 1]
    assert max(passed, key=passed.__getitem__) == int(np.argmax(values))


def test_an_early_end_changes_nothing_for_the_others() -> None:
    values = np.random.default_rng(1).random(64).tolist()
    assert search(values, 64) == search(values, None)


@pytest.mark.parametrize(("trials", "expected"), [(1, [1, 1, 1]), (2, [1, 1, 1]), (8, [2, 1, 1]), (12, [4, 1, 1])])
def test_a_small_search_still_trains_one_trial_to_the_end(trials: int, expected: list[int]) -> None:
    values = np.random.default_rng(2).random(trials).tolist()
    passed = search(values, trials)
    assert [sum(n >= rung for n in passed.values()) for rung in (1, 2, 3)] == expected
    assert max(passed, key=passed.__getitem__) == int(np.argmax(values))


def test_an_idle_worker_at_the_end_gets_no_trial_without_a_place() -> None:
    rule = WaitingHalving(RUNGS, (3, 3, 3), trials=4)
    decide(rule, [0.4, 0.3, 0.2, 0.1])
    assert (rule.resume(), rule.resume(), rule.resume(is_last=True)) == (0, None, None), "four trials make one place"


def test_between_the_rungs_and_after_a_rung_that_it_left_a_trial_goes_on() -> None:
    rule = WaitingHalving(RUNGS, (3, 3, 3))
    assert rule.decide(0, 2, 0.0) == (CONTINUE, "")
    rule.restore(1, [0.9, 0.9])
    assert rule.decide(1, 1, 0.9) == (CONTINUE, "")


def test_a_trial_that_comes_by_a_rung_again_counts_once_with_its_first_value() -> None:
    rule = WaitingHalving(RUNGS, (3, 3, 3), trials=6)
    assert decide(rule, [0.5, 0.4, 0.3]) == [PAUSE] * 3
    assert decide(rule, [0.9, 0.1], first=1) == [PAUSE] * 2, "trials 1 and 2 once more"
    assert rule.needed() == {1: 0.5}
    assert (rule.resume(), rule.resume()) == (0, None)


def test_a_trial_ends_once_it_cannot_get_a_place_even_if_three_fail_and_says_why() -> None:
    rule = WaitingHalving(RUNGS, (3, 3, 3), trials=8)
    assert decide(rule, [0.5, 0.4, 0.48, 0.47, 0.46]) == [PAUSE] * 5
    assert rule.decide(5, 1, 0.3) == (STOP, "epoch 1: 0.3000 is number 6 of 6, at most 2 go on")
    assert rule.dismiss() == []
    assert rule.decide(6, 1, 0.45) == (PAUSE, "")
    assert rule.dismiss() == [(1, "epoch 1: 0.4000 is number 6 of 7, at most 2 go on")]
    assert rule.dismiss() == [], "once"


def test_at_the_end_all_that_are_paused_end_and_say_why() -> None:
    rule = WaitingHalving(RUNGS, (3, 3, 3))
    decide(rule, [0.5, 0.4, 0.3])
    assert rule.resume() == 0
    decide(rule, [0.6, 0.1], first=3)
    assert rule.dismiss(is_last=True) == [
        (3, "epoch 1: 0.6000 is number 1 of 5, but no place of 1 was left"),
        (1, "epoch 1: 0.4000 is number 3 of 5, at most 1 go on"),
        (2, "epoch 1: 0.3000 is number 4 of 5, at most 1 go on"),
        (4, "epoch 1: 0.1000 is number 5 of 5, at most 1 go on"),
    ]


@pytest.mark.parametrize("cut", [1, 7, 23, 39])
def test_a_restored_rule_decides_as_one_that_was_not_interrupted(cut: int) -> None:
    values = np.random.default_rng(1).random(60).tolist()
    whole, last, ended = WaitingHalving(RUNGS, (3, 3, 3), trials=60), dict[int, int](), set[int]()

    def train(rule: WaitingHalving, number: int) -> str:
        for rung in RUNGS:
            if rung > last.get(number, 0):
                last[number] = rung
                verdict, reason = rule.decide(number, rung, values[number])
                ended.update({number} if verdict == STOP else ())
                if verdict != CONTINUE:
                    return reason
        last[number] = 27
        return ""

    def go_on(rule: WaitingHalving, number: int) -> list[object]:
        done: list[object] = [train(rule, number)]
        while (resumed := rule.resume()) is not None:
            done += [resumed, train(rule, resumed)]
        dismissed = rule.dismiss()
        ended.update(number for number, _ in dismissed)
        return [*done, dismissed]

    for number in range(cut):
        go_on(whole, number)
    again = WaitingHalving(RUNGS, (3, 3, 3), trials=60)
    for number in range(cut):
        again.restore(number, [values[number]] * last[number], ended=number in ended)
    before = dict(last)
    rest = [go_on(whole, number) for number in range(cut, 60)]
    last.clear()
    last |= before
    assert [go_on(again, number) for number in range(cut, 60)] == rest


def test_a_trial_that_ended_in_an_earlier_start_takes_no_rank_from_those_that_may_go_on() -> None:
    rule = WaitingHalving(RUNGS, (3, 3, 3))
    rule.restore(0, [0.9], ended=True)
    decide(rule, [0.5] * 4, first=1)
    assert (rule.resume(), rule.resume()) == (1, None), "five make one place"
    decide(rule, [0.4], first=5)
    assert (rule.resume(), rule.resume()) == (2, None), "six make two places, both for others than trial 0"


def test_a_trial_that_fails_leaves_its_place_to_the_next_best() -> None:
    rule = WaitingHalving(RUNGS, (3, 3, 3), trials=6)
    decide(rule, [0.5, 0.4, 0.3])
    assert rule.resume() == 0
    rule.fail(0)
    assert rule.resume() is None, "two make no place yet"
    assert decide(rule, [0.2], first=3) == [PAUSE]
    assert (rule.resume(), rule.resume()) == (1, None)


@pytest.mark.parametrize("failures", [1, 2])
def test_a_small_search_whose_best_trials_fail_trains_another_one_to_the_end(failures: int) -> None:
    rule = WaitingHalving(RUNGS, (3, 3, 3), trials=3)
    assert decide(rule, [0.5, 0.4, 0.3]) == [PAUSE] * 3
    for number in range(failures):
        assert (rule.dismiss(), rule.resume(is_last=True)) == ([], number)
        rule.fail(number)
    assert rule.resume(is_last=True) == failures


def test_a_trial_that_fails_late_frees_its_place_at_every_rung() -> None:
    rule = WaitingHalving(RUNGS, (3, 3, 3), trials=9)
    decide(rule, np.linspace(0.9, 0.1, 9).tolist())
    assert [rule.resume() for _ in range(3)] == [0, 1, 2]
    decide(rule, [0.9, 0.8, 0.7], rung=3)
    assert rule.resume() == 0
    rule.fail(0)
    assert (rule.resume(), rule.resume(is_last=True)) == (None, 1), "eight make two places at epoch 1, both taken"
    rule.fail(1)
    assert [rule.resume(), rule.resume(is_last=True)] == [3, 2]


def test_a_trial_that_failed_in_an_earlier_start_counts_nowhere() -> None:
    rule = WaitingHalving(RUNGS, (3, 3, 3), trials=4)
    rule.fail(0)
    decide(rule, [0.5, 0.6], first=1)
    assert rule.resume() is None
    decide(rule, [0.1], first=3)
    assert rule.resume() == 2


def test_a_run_of_the_former_rule_may_have_let_more_go_on() -> None:
    rule = WaitingHalving((1, 3), (3, 3), trials=9)
    for number in range(6):
        rule.restore(number, [0.5, 0.5, 0.1 * number])
    assert rule.dismiss() == [(0, "epoch 3: 0.0000 is number 6 of 6, at most 2 go on")]
    assert [rule.resume() for _ in range(3)] == [5, 4, None]


def test_what_is_needed_at_a_rung_puts_the_next_trial_among_the_best() -> None:
    rule = WaitingHalving(RUNGS, (3, 3, 3))
    assert rule.needed() == {}
    decide(rule, [0.5, 0.6])
    assert rule.needed() == {1: 0.6}
    decide(rule, [0.1, 0.2, 0.3], first=2)
    assert rule.needed() == {1: 0.5}, "two of six"


def test_without_rungs_every_trial_runs_to_its_end() -> None:
    rule = WaitingHalving((), (), trials=2)
    assert decide(rule, [0.9, 0.1], rung=3) == [CONTINUE] * 2
    assert (rule.resume(is_last=True), rule.dismiss(is_last=True)) == (None, [])
