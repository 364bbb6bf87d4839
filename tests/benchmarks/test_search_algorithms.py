"""The comparison of search algorithms: ratios, intervals, the command line and its last line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import search_algorithms
from bloodtune.errors import InputError
from bloodtune.run.directory import RunDirectory
from curve_fixtures import invented_run, toy_table
from curves import curve_tables, fitted, own
from curves.fitted import Fitted
from curves.own import own_names, own_rows
from curves.spaces import Encoder
from curves.surrogate import DRAWS, ForestSurrogate, Rows, held_out_error
from curves.tables import LAST_EPOCH, Curve, curves_of
from search_algorithms import check_algorithms, main
from simulation.comparison import compare, cost_ratio, interval
from simulation.outcome import EPOCHS, MOMENTS, SECONDS, at_cost


def constant_searches(costs: np.ndarray, regrets: np.ndarray, count: int = 20) -> np.ndarray:
    """Make equal searches whose regret is ``regrets`` at ``costs``; the last row is their end."""
    rows = np.column_stack([costs, 2 * costs, regrets, 10 * regrets])
    return np.tile(np.vstack([rows, rows[-1:]]), (count, 1, 1))


def test_a_search_at_half_the_cost_has_a_ratio_of_two() -> None:
    costs = np.geomspace(100, 400, MOMENTS)
    slow = constant_searches(costs, np.linspace(1, 0.2, MOMENTS))
    fast = constant_searches(costs / 2, np.linspace(1, 0.2, MOMENTS))
    for column in (EPOCHS, SECONDS):
        low, middle, high = cost_ratio({"a": slow, "b": slow}, {"a": fast, "b": fast}, column)
        assert low == middle == high == pytest.approx(2, rel=0.01)
        assert cost_ratio({"a": slow}, {"a": slow}, column)[1] == pytest.approx(1, rel=0.01)


def test_the_reference_has_a_ratio_of_one_even_if_its_curve_rises() -> None:
    regrets = np.random.default_rng(0).random(MOMENTS)  # no monotone curve goes through these
    noisy = constant_searches(np.geomspace(100, 400, MOMENTS), regrets)
    assert cost_ratio({"a": noisy}, {"a": noisy}, EPOCHS) == (1, 1, 1)


def test_a_quality_that_is_never_reached_has_a_ratio_of_zero() -> None:
    costs = np.geomspace(100, 400, MOMENTS)
    good, bad = (constant_searches(costs, np.linspace(1, last, MOMENTS)) for last in (0.2, 0.5))
    assert cost_ratio({"a": good}, {"a": bad}, EPOCHS) == (0, 0, 0)


def test_a_regret_holds_until_the_next_outcome() -> None:
    searches = constant_searches(np.geomspace(100, 400, MOMENTS), np.arange(MOMENTS, 0.0, -1), count=1)
    assert at_cost(searches, [50, 100, 399, 400, 900], EPOCHS).tolist() == [[MOMENTS, MOMENTS, 2, 1, 1]]


def test_an_interval_holds_the_statistic_of_all_searches() -> None:
    values = np.random.default_rng(0).normal(3, 1, (200, 1))
    low, middle, high = interval([values, values + 1], np.median)
    assert low < middle < high
    assert middle == pytest.approx(3.5, abs=0.2)
    assert high - low < 0.5


def test_a_row_gives_ranks_and_wins_at_the_epochs_of_the_reference() -> None:
    costs = np.geomspace(100, 400, MOMENTS)
    good, bad = (constant_searches(costs, np.linspace(1, last, MOMENTS)) for last in (0.2, 0.5))
    rows = {row.algorithm: row for row in compare({"one": {"a": good, "b": bad}, "two": {"a": bad, "b": bad}}, "one")}
    assert (rows["one"].place, rows["one"].won) == (1.25, 1)
    assert (rows["two"].place, rows["two"].won) == (1.75, 0.5)
    assert rows["one"].epochs == 400


def synthetic_rows(count: int = 150, seeds: int = 1) -> Rows:
    generator = np.random.default_rng(0)
    mappings = [{"family": "cnn", "rate": float(10 ** generator.uniform(-4, 0))} for _ in range(count)]
    levels = np.array([0.1 + 0.1 * abs(np.log10(m["rate"]) + 2) for m in mappings])
    curves = levels[:, None] * (1 + 3 / np.arange(1, LAST_EPOCH + 1))
    noise = np.exp(generator.normal(0, 0.02, (seeds, count, LAST_EPOCH)))
    return Rows(tuple(mappings * seeds), np.concatenate(list(curves * noise)), np.full(count * seeds, 2.0))


def test_a_surrogate_answers_for_configurations_in_no_row() -> None:
    rows = synthetic_rows()
    answers = ForestSurrogate(rows).answer([{"family": "cnn", "rate": rate} for rate in (0.0102, 0.0003)])
    good, bad = curves_of(answers, [0, 0])
    assert -good.truth == pytest.approx(0.115, abs=0.02)
    assert good.truth > bad.truth
    assert good.epochs[0].val_macro_f1 < good.epochs[-1].val_macro_f1 < 0
    assert good.epochs[0].seconds == 1  # all rows take equally long: the unit is an epoch
    assert len(good.again) == DRAWS - 1
    assert np.std(good.again) < 0.02
    error = held_out_error(rows)
    assert error["spearman"] > 0.9
    assert error["rmse"] < 0.1


def test_noise_is_the_difference_between_seeds_where_a_table_has_them() -> None:
    one, three = (
        ForestSurrogate(synthetic_rows(seeds=seeds)).answer([{"family": "cnn", "rate": 0.01}]) for seeds in (1, 3)
    )
    assert 0.01 < three.noise.std() < 0.03
    assert one.noise.std() < 0.03


def test_seeds_choose_the_noise() -> None:
    answers = ForestSurrogate(synthetic_rows()).answer([{"family": "cnn", "rate": 0.01}] * 30)
    curves: list[Curve] = curves_of(answers, range(30))
    assert len({curve.epochs[-1].val_macro_f1 for curve in curves}) > 3
    assert len({curve.truth for curve in curves}) == 1
    assert curves_of(answers, range(30))[5].epochs == curves[5].epochs


def test_an_encoder_scales_numbers_and_splits_choices() -> None:
    encode = Encoder([{"a": 1e-4, "kind": "x"}, {"a": 1.0, "kind": "y", "b": 3}, {"a": 0.01, "kind": "x", "b": 5}])
    np.testing.assert_allclose(encode([{"a": 0.01, "kind": "y"}]), [[0, 1, 0.5, 0.5]])
    np.testing.assert_allclose(encode([{"a": 1.0, "kind": "x", "b": 5}]), [[1, 0, 1, 1]])


def test_our_own_table_needs_enough_whole_curves(
    tmp_path: Path, run: RunDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(own, "FOLDER", tmp_path)
    curve_tables.pack(run.path, tmp_path / "blood")
    assert own_names() == ["blood"]
    with pytest.raises(InputError, match=r"blood has \d+ whole curves; at least 30 are needed$"):
        own_rows("blood")


def test_our_own_table_is_fitted_once_and_searched_by_the_default(
    tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(own, "FOLDER", tmp_path)
    monkeypatch.setitem(search_algorithms.QUICK, "pool", 60)
    curve_tables.pack(invented_run(tmp_path / "runs", 40).path, tmp_path / "blood")
    flags = ["--quick", "--repeats", "1", "--budget", "14", "--algorithms", "default", "random-3-9"]
    assert main(flags) == 0
    first = capsys.readouterr().out
    assert "blood: 1 tasks" in first
    (kept,) = (home / ".cache" / "bloodtune" / "curves").iterdir()
    assert kept.name.startswith("blood-")
    monkeypatch.setattr(fitted, "_fit", None)
    assert main(flags) == 0
    assert capsys.readouterr().out.splitlines()[:-1] == first.splitlines()[:-1]


def test_the_pools_best_has_no_regret() -> None:
    table = toy_table()
    assert table.regret(table.truths[-1]) == 0
    assert table.regret(table.truths[len(table.truths) // 2]) == pytest.approx(1)
    assert table.rank_share(table.truths[-1]) == 0
    assert table.rank_share(table.truths[0]) == pytest.approx(98)


def test_the_last_line_is_json_with_the_ratios(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    toys = Fitted("toys", [toy_table("one"), toy_table("two")], {"one": {"rmse": 0.1, "spearman": 0.8, "spread": 0.3}})
    monkeypatch.setattr(search_algorithms, "names", lambda foreign: iter(["toys"]))
    monkeypatch.setattr(search_algorithms, "load", lambda name, foreign, pool: toys)
    flags = ["--quick", "--repeats", "2", "--budget", "14", "--algorithms", "default", "random-waiting"]
    figure, results = tmp_path / "figure.png", tmp_path / "results.npz"
    assert main([*flags, "--figure", str(figure), "--results", str(results)]) == 0
    *table, last = capsys.readouterr().out.splitlines()
    figures = json.loads(last)
    low, middle, high = figures["toys"]["epochs_ratio"]
    assert 0 <= low <= middle <= high
    assert len(figures["toys"]["seconds_ratio"]) == 3
    assert [line.split()[0] for line in table[-3:]] == ["optuna-mended", "random-waiting", "default"]
    assert "Spearman at the last epoch 0.80" in "\n".join(table)
    assert figure.stat().st_size > 10_000
    # Searches in the file of results are not simulated again.
    monkeypatch.setattr(search_algorithms, "simulate_job", None)
    assert main([*flags, "--results", str(results)]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["toys"] == figures["toys"]


def test_missing_tables_give_one_line_and_exit_code_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for collection, file in (
        ("taskset", "taskset.npz"),
        ("imagenet", "imagenet.npz"),
        ("lcbench", "config_space.json"),
    ):
        assert main(["--foreign", str(tmp_path), "--tables", collection]) == 2
        out, err = capsys.readouterr()
        assert out == ""
        assert err.count("\n") == 1
        assert f"{file} is missing; --foreign is the folder of taskset.npz, imagenet.npz and lcbench/" in err


def test_unknown_names_give_the_nearest(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(InputError, match="unknown algorithm 'defalt'; did you mean 'default'"):
        check_algorithms(["defalt"])
    assert main(["--foreign", str(tmp_path), "--tables", "taskst"]) == 2
    assert "unknown collection 'taskst'; did you mean 'taskset'?" in capsys.readouterr().err
    assert check_algorithms(["default"]) == ["optuna-mended", "default"]
