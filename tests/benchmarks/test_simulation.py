"""Simulated searches: the event loop, and each stopping rule on values with a known answer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import cast

import numpy as np
import pytest

from bloodtune.run.records import EpochRecord, TrialRecord
from bloodtune.space.configuration import Configuration
from bloodtune.tuning.asha import CONTINUE, STOP
from bloodtune.tuning.trial_queue import TrialQueue
from curve_fixtures import toy_table
from curves.foreign import RECIPE
from curves.spaces import Point
from simulation.field import ALGORITHMS
from simulation.loop import Rule, Search, simulate
from simulation.outcome import EPOCHS, REGRET, SECONDS, finalists, outcomes
from simulation.rules import RayAsha, ToTheEnd
from simulation.waiting import Hyperband, Pasha, SynchronousHalving, Waiting, halving

ASHA = RECIPE.asha


class ListSampler:
    """Gives points with the given x, in their order."""

    def __init__(self, xs: Sequence[float]) -> None:
        self._xs = xs

    def ask(self, number: int, known: Configuration | None = None) -> Configuration:
        return cast(Configuration, Point({"x": self._xs[number], "y": 0.1}))

    def report(self, number: int, epoch: int, value: float) -> None: ...

    def tell(self, record: TrialRecord) -> None: ...

    def replay(self, record: TrialRecord, epochs: Iterable[EpochRecord]) -> None: ...


def search_over(xs: Sequence[float], rule: Rule, workers: int = 1) -> tuple[Search, TrialQueue]:
    queue = TrialQueue(RECIPE, ListSampler(xs), budget=len(xs))
    return simulate(toy_table(), queue, rule, workers=workers), queue


def test_one_worker_trains_one_trial_after_the_other() -> None:
    search, queue = search_over([0.2, 0.7], ToTheEnd(ASHA))
    assert [(r.seconds, r.epochs, r.trial, r.epoch) for r in search.reports] == [(27, 27, 0, 27), (108, 54, 1, 27)]
    assert [record.state for record in queue.finished] == ["COMPLETE", "COMPLETE"]


def test_two_workers_train_side_by_side_and_the_free_one_takes_the_next_trial() -> None:
    search, _ = search_over([0.7, 0.2, 0.3, 0.4], ToTheEnd(ASHA), workers=2)
    # Trial 0 takes 81 seconds; the other worker trains three trials of 27 seconds in that time.
    assert [(r.seconds, r.trial) for r in search.reports] == [(27, 1), (54, 2), (81, 0), (81, 3)]
    assert search.proposed == [0, 0, 1, 2]


def test_a_paused_trial_goes_on_where_it_stood_and_costs_no_epoch_twice() -> None:
    search, queue = search_over([0.1, 0.2, 0.3], SynchronousHalving({1: 1}, 3, 27))
    assert [(r.trial, r.epoch) for r in search.reports] == [(0, 1), (1, 1), (2, 1), (0, 27)]
    assert search.reports[-1].epochs == 3 + 26
    assert Counter(record.state for record in queue.finished) == {"COMPLETE": 1, "PRUNED": 2}
    assert [record.message for record in queue.finished] == ["", "", ""], "this rule gives no reasons"
    assert [record.epochs for record in queue.finished] == [27, 1, 1]


@pytest.mark.parametrize("workers", [1, 4])
def test_halving_in_step_keeps_a_third_at_each_rung(workers: int) -> None:
    xs = np.random.default_rng(0).permutation(64) / 64
    search, queue = search_over(xs.tolist(), halving(ASHA, 64), workers)
    assert Counter(record.epochs for record in queue.finished) == {1: 43, 3: 14, 9: 5, 27: 2}
    assert search.reports[-1].epochs == 64 + 21 * 2 + 7 * 6 + 2 * 18
    whole = [record.trial for record in queue.finished if record.epochs == 27]
    assert sorted(xs[whole]) == [0, 1 / 64]


@pytest.mark.parametrize("workers", [1, 2, 8])
def test_the_products_rule_gives_every_place_and_a_reason_to_all_others(workers: int) -> None:
    xs = np.random.default_rng(0).permutation(64) / 64
    search, queue = search_over(xs.tolist(), Waiting(ASHA, is_capped=True), workers)
    assert Counter(record.epochs for record in queue.finished) == {1: 43, 3: 14, 9: 5, 27: 2}
    assert search.reports[-1].epochs == 184
    assert all(bool(record.message) == (record.state == "PRUNED") for record in queue.finished)
    assert any(record.message.endswith("at most 21 go on") for record in queue.finished)


def test_rays_asha_stops_below_the_quantile_of_the_values_before() -> None:
    rule, generator, before = RayAsha(ASHA), np.random.default_rng(0), []
    for number, value in enumerate(generator.random(50)):
        expected = STOP if before and value < np.percentile(before, 100 * (1 - 1 / 3)) else CONTINUE
        assert rule.decide(number, 1, value)[0] == expected
        before.append(value)


def test_hyperband_has_the_brackets_of_its_paper() -> None:
    rule = Hyperband(ASHA, 49)
    assert Counter(rule.next_rung(number, 0) for number in range(49)) == {1: 27, 3: 12, 9: 6, 27: 4}
    search, queue = search_over([0.5] * 49, Hyperband(ASHA, 49))
    assert len(queue.finished) == 49
    assert search.reports[-1].epochs == (27 + 9 * 2 + 3 * 6 + 18) + (12 * 3 + 4 * 6 + 18) + (6 * 9 + 2 * 18) + 4 * 27


def test_a_cap_ends_promotions_that_only_an_improving_sampler_brings() -> None:
    counts = []
    for is_capped in (False, True):
        search, queue = search_over(np.linspace(1, 0, 63).tolist(), Waiting(ASHA, is_capped=is_capped))
        counts.append(sum(record.epochs > 1 for record in queue.finished))
        assert search.reports[-1].trial == max(r.trial for r in search.reports if r.epoch > 1)
    assert counts[1] == 21 < counts[0]


@pytest.mark.parametrize(("is_stable", "highest"), [(True, 3), (False, 9)])
def test_pasha_opens_a_rung_only_while_ranks_disagree(is_stable: bool, highest: int) -> None:
    queue = TrialQueue(RECIPE, ListSampler([0.5] * 60), budget=60)
    rule = Pasha(ASHA, queue)
    queue.rule = rule
    while live := queue.next():
        number = live.number
        value = 1 - number / 60
        values = [value] * 2 + ([value] if is_stable else [1 - value]) * 25
        while (rung := rule.next_rung(number, len(live.epochs))) and len(live.epochs) < 27:
            queue.report(number, [EpochRecord(e, 0, 0, v, v, 1) for e, v in enumerate(values[:rung], start=1)])
            if rung == 27 or queue.decide(number, rung, values[rung - 1]) != CONTINUE:
                break
        if len(live.epochs) == 27:
            queue.finish(number)
        else:
            queue.pause(number)
    assert max(record.epochs for record in queue.finished) == highest


@pytest.mark.parametrize("name", ["random-waiting", "optuna-mended", "default", "tpe-waiting"])
def test_equal_seeds_give_equal_searches(name: str) -> None:
    table = toy_table()
    first, again = (ALGORITHMS[name].run(table, trials=14, workers=2, seed=3) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, ALGORITHMS[name].run(table, trials=14, workers=2, seed=4))


def test_rungs_3_and_9_leave_the_end_to_the_retraining() -> None:
    table = toy_table()
    found = ALGORITHMS["random-3-9"].run(table, trials=64, workers=1, seed=0)
    assert found[-1, EPOCHS] == 64 * 3 + 21 * 6 + 3 * 27


def test_finalists_come_from_the_deepest_rung_first() -> None:
    assert finalists({0: (1, 0.9), 1: (3, 0.2), 2: (3, 0.4), 3: (1, 0.95), 4: (1, 0.1)}) == [2, 1, 3]


def test_an_outcome_counts_the_retraining_of_the_finalists() -> None:
    search, _ = search_over([0.1, 0.2, 0.3, 0.9], ToTheEnd(ASHA))
    table = toy_table()
    found = outcomes(search, table, trials=2, workers=1, seed=0)
    assert found[0, EPOCHS] == 27 + 27  # one trial, trained twice
    assert found[-2, EPOCHS] == 4 * 27 + 3 * 27
    assert found[-2, SECONDS] == 27 * (3 + 3) + 3 * 27
    assert found[-1, EPOCHS] == 2 * 27 + 2 * 27  # after two trials
    truth = -np.exp(np.log(0.2 + 0.5 / np.array([25, 26, 27])).mean())
    assert found[-1, REGRET] == pytest.approx(table.regret(truth))


def test_rungs_2_and_6_spend_218_epochs() -> None:
    search, queue = ALGORITHMS["tpe-2-6"].search(toy_table(), budget=64, workers=1, seed=0)
    assert search.reports[-1].epochs == 64 * 2 + 12 * 4 + 2 * 21
    assert Counter(record.epochs for record in queue.finished) == {2: 52, 6: 10, 27: 2}
