"""The driver killed with -9 while trials are paused: nothing is lost, nothing is there twice, the same trials go on.

What is hit, and when, is drawn from seeds; what is checked does not depend on it.
"""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest
import tomli_w

from bloodtune.space.recipe_file import load_recipe
from fault_fixtures import GetRow, Search, write_inputs

pytestmark = pytest.mark.faults

KILLS = 10


def test_driver_killed_with_paused_trials(search: Search, row: GetRow) -> None:
    kills, draw = row("driver killed with -9 while trials are paused, then --resume"), random.Random(7)
    search.budget = 80
    kept: set[tuple[int, int, float]] = set()
    for _ in range(10):
        search.begin()
        search.wait_for(lambda: len(search.checkpoints()) >= 3)
        goal = search.epochs() + draw.randrange(4, 20)
        search.wait_for(lambda: search.epochs() >= goal)  # noqa: B023
        time.sleep(draw.uniform(0.0, 0.3))
        search.kill()
        search.end()
        kills.times += 1
        # Epochs up to a checkpoint, with their seconds: no other epoch takes as long to the last digit.
        reached = search.checkpoints() | {number: record.epochs for number, record in search.records().items()}
        known = search.run.curves()[["trial", "epoch", "seconds"]].itertuples(index=False, name=None)
        kept |= {epoch for epoch in known if epoch[1] <= reached.get(epoch[0], 0)}
    began = time.monotonic()
    search.finish()
    kills.seconds.append(time.monotonic() - began)
    search.check(kills)
    found = search.run.curves()[["trial", "epoch", "seconds"]].itertuples(index=False, name=None)
    assert 30 < len(kept) <= len(kept & set(found)), "an epoch before a checkpoint was trained again"
    assert search.run.read_json("best.json")["state"] != "PAUSED"


def begin_search(folder: Path) -> Search:
    """Return a search of 27 small trials on one worker, with the rungs, the factor and the epochs of the default."""
    folder.mkdir()
    recipe = write_inputs(folder) / "faults.toml"
    before, _, after = recipe.read_text().partition("[asha]")
    asha = tomli_w.dumps({"asha": load_recipe("default").asha.to_mapping()})
    recipe.write_text(f"{before}{asha}\n{after[after.index('[') :]}")
    return Search(folder, budget=27, flags="--workers 1 --precision float32")


def test_a_killed_search_of_the_default_ends_as_an_uninterrupted_one(tmp_path: Path, row: GetRow) -> None:
    kills, draw = row("driver killed with -9 while trials of the default are paused, then --resume"), random.Random(3)
    whole, search = begin_search(tmp_path / "whole"), begin_search(tmp_path / "killed")
    whole.finish()
    # Of 27 trials 13 train for 3 epochs and 3 for 7: 65 epochs, and then 29 of the only one that goes to the end.
    assert sorted(record.epochs for record in whole.records().values()) == [1] * 14 + [3] * 10 + [7] * 2 + [36]
    for epochs in sorted(draw.sample(range(3, 66), KILLS)):
        search.begin()
        search.wait_for(lambda: search.epochs() >= epochs)  # noqa: B023
        time.sleep(draw.uniform(0.0, 0.3))
        search.kill()
        assert search.end() == -9, search.said
        assert len(search.checkpoints()) >= 2, "trials are paused"
        kills.times += 1
    search.finish()
    search.check(kills)
    killed, curves = search.records(), search.run.curves()
    assert curves.groupby("trial").epoch.apply(sorted).to_dict() == {
        number: list(range(1, record.epochs + 1)) for number, record in sorted(killed.items())
    }
    for rung in (1, 3, 7):
        went_on = [{n for n, record in one.records().items() if record.epochs > rung} for one in (whole, search)]
        assert went_on[0] == went_on[1], f"other trials went on at epoch {rung}"
    assert search.run.proposals() == whole.run.proposals()
    scores = [one.run.curves().set_index(["trial", "epoch"]).val_macro_f1.sort_index() for one in (whole, search)]
    assert scores[0].equals(scores[1])
