"""Training steps timed once per machine, and what is kept of it."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from bloodtune.training import step_times
from bloodtune.training.numerics import PLAIN, timed_precisions
from bloodtune.training.step_times import describe_chip, measure_steps
from bloodtune.training.timing_cache import collect_steps
from engine_fixtures import make_configuration, make_splits

CONFIGURATIONS = [make_configuration("mlnn"), make_configuration("cnn"), make_configuration("cnn", width=16)]


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "bloodtune" / "step_times"


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Play the timing: bfloat16 takes ten times as long as float32. Lists the variants that were timed."""
    timed: list[str] = []

    def make_step(splits: Any, configuration: Any, numerics: Any, images: int) -> Any:
        name = PLAIN if numerics.plain_layers else numerics.precision
        return lambda: timed.append(name) or name

    seconds = {"float32": 0.01, PLAIN: 0.02, "bfloat16": 0.1}
    monkeypatch.setattr(step_times, "make_step", make_step)
    monkeypatch.setattr(step_times, "_seconds", lambda step, _: seconds[step()])
    return timed


def test_real_steps_take_time_in_every_precision(cache: Path) -> None:
    found = measure_steps(make_splits(), CONFIGURATIONS[:1])
    assert set(found) == {"mlnn"}
    assert {"float32", PLAIN} <= set(found["mlnn"]) <= {"float32", PLAIN, "bfloat16"}
    assert all(0 < seconds < 10 for seconds in found["mlnn"].values())
    assert [file.name.partition("-")[0] for file in cache.iterdir()] == ["mlnn"]


@pytest.mark.usefixtures("cache")
def test_a_hopeless_precision_is_dropped_for_all_families(clock: list[str]) -> None:
    found = measure_steps(make_splits(), CONFIGURATIONS[:2])
    assert found == {family: {"float32": 0.01, PLAIN: 0.02} for family in ("mlnn", "cnn")}
    assert clock.count("bfloat16") == 1 + step_times.DROP_STEPS, "a few steps on few images of the first family"


@pytest.mark.usefixtures("cache")
def test_one_slow_step_drops_no_precision(clock: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def seconds(step: Any, _: Any) -> float:
        return 0.1 if step() == "bfloat16" and clock.count("bfloat16") == 2 else 0.01

    monkeypatch.setattr(step_times, "_seconds", seconds)
    assert "bfloat16" in measure_steps(make_splits(), CONFIGURATIONS[:1])["mlnn"]


@pytest.mark.usefixtures("cache")
@pytest.mark.skipif(sys.platform == "win32", reason="its clock of the processor is coarse")
def test_time_in_which_other_programs_run_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    def make_step(splits: Any, configuration: Any, numerics: Any, images: int) -> Any:
        return (lambda: time.sleep(0.05)) if numerics.precision == "bfloat16" else (lambda: sum(range(10_000)))

    monkeypatch.setattr(step_times, "make_step", make_step)
    found = measure_steps(make_splits(), CONFIGURATIONS[:1])["mlnn"]
    assert found["bfloat16"] < 0.05


@pytest.mark.usefixtures("cache")
def test_only_what_was_asked_for_is_timed_beside_float32(clock: list[str]) -> None:
    measure_steps(make_splits(), CONFIGURATIONS[:1], "float32")
    assert set(clock) == {"float32", PLAIN}


@pytest.mark.usefixtures("cache")
def test_what_was_timed_once_is_not_timed_again(clock: list[str]) -> None:
    splits = make_splits()
    first = measure_steps(splits, CONFIGURATIONS[:2])
    clock.clear()
    assert measure_steps(splits, CONFIGURATIONS[:2]) == first
    assert clock == []
    measure_steps(make_splits(size=16), CONFIGURATIONS[:1])
    assert clock, "images of another size are"


DAMAGES = ["", "{", "[]", "null", "\x00", "3", '{"seconds": {"float32": 1}}']
DAMAGES += [f'{{"chip": "a", "seconds": {s}}}' for s in ("{}", '{"float32": -1}', '{"float32": "x"}', '{"b": 1}', "3")]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_cache_is_measured_anew(cache: Path, clock: list[str], damage: str) -> None:
    splits = make_splits()
    expected = measure_steps(splits, CONFIGURATIONS[:1])
    (file,) = cache.iterdir()
    file.write_text(damage)
    clock.clear()
    assert measure_steps(splits, CONFIGURATIONS[:1]) == expected
    assert clock
    assert json.loads(file.read_text()) == {"chip": describe_chip(), "seconds": expected["mlnn"]}, "and is whole again"


@pytest.mark.usefixtures("cache", "clock")
def test_a_search_reads_what_a_worker_has_timed() -> None:
    splits, precisions = make_splits(), timed_precisions("cpu")
    shape = splits.train_images.shape[1:]
    times = measure_steps(splits, CONFIGURATIONS[:2])
    assert "bfloat16" not in times["cnn"], "so it was dropped with the first family"
    assert collect_steps(CONFIGURATIONS[:2], shape, precisions) == (describe_chip(), times)
    assert collect_steps([*CONFIGURATIONS[:2], make_configuration("residual")], shape, precisions) is None, (
        "never timed"
    )
    assert collect_steps(CONFIGURATIONS[:2], (16, 16, 3), precisions) is None


def test_a_cache_that_cannot_be_written_costs_only_the_next_measurement(cache: Path, clock: list[str]) -> None:
    cache.parent.parent.mkdir()
    cache.parent.write_text("a file where the folder should be")
    first = measure_steps(make_splits(), CONFIGURATIONS[:1])
    clock.clear()
    assert measure_steps(make_splits(), CONFIGURATIONS[:1]) == first
    assert clock


def test_doubtful_layers_are_timed_more_often(cache: Path, clock: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = {"float32": 0.01, PLAIN: 0.009, "bfloat16": 0.1}
    monkeypatch.setattr(step_times, "_seconds", lambda step, _: seconds[step()])
    measure_steps(make_splits(), CONFIGURATIONS[:1])
    assert clock.count(PLAIN) == 1 + step_times.DOUBTFUL_ROUNDS


def test_the_chip_is_named_with_what_decides_its_speed() -> None:
    name, _, flags = describe_chip().rpartition(" (")
    assert name
    assert flags.endswith(")")
