"""The gain by many simulated workers, and the time of a suggestion."""

from __future__ import annotations

import json

import pytest

import search_algorithms
from curve_fixtures import toy_table
from curves.fitted import Fitted
from search_algorithms import main
from simulation import scale


def test_scale_gives_the_share_of_linear_speed_up_and_suggestion_times(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(search_algorithms, "names", lambda foreign: iter(["toys", "others"]))
    loaded: list[str] = []
    monkeypatch.setattr(
        search_algorithms,
        "load",
        lambda name, foreign, pool: loaded.append(name) or Fitted(name, [toy_table()], {}),
    )
    for name, value in (("WORKERS", (1, 100)), ("BUDGETS", (8,)), ("TOLD", (12,))):
        monkeypatch.setattr(scale, name, value)
    assert main(["--scale"]) == 0
    assert loaded == ["toys"]  # one table says it
    figures = json.loads(capsys.readouterr().out.splitlines()[-1])
    shares = figures["speed_up"]
    assert shares["8/1"] == 1
    assert 0.01 < shares["8/100"] < 0.08  # eight trials keep eight workers busy at most
    assert figures["suggestion_seconds"].keys() == {"12"}
    assert 0 < figures["queue_megabytes"]["12"] < 5
