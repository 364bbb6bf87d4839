"""The number of trials per GPU that follows from measurements."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from bloodtune.data.npz import Split
from bloodtune.space.recipe_file import load_recipe
from bloodtune.tuning.gpu_sharing import Calibration, _Probe, choose, heaviest
from engine_fixtures import make_configuration, make_split


@pytest.mark.parametrize(
    ("rates", "trials"),
    [
        ({}, 1),
        ({1: 100.0}, 1),
        ({1: 100.0, 2: 104.0}, 1),
        ({1: 100.0, 2: 190.0, 4: 300.0, 8: 310.0}, 4),
        ({1: 100.0, 2: 190.0, 4: 150.0, 8: 400.0}, 2),
        ({1: 100.0, 2: 200.0, 4: 400.0}, 4),
    ],
)
def test_trials_share_a_gpu_while_each_doubling_pays(rates: dict[int, float], trials: int) -> None:
    assert choose(rates) == trials


def test_a_calibration_reads_as_one_line() -> None:
    line = str(Calibration({1: 21_000.4, 2: 39_000.0}, 2))
    assert line == "1, 2 trainings side by side on a GPU: 21,000, 39,000 images/s; 2 per GPU"


def test_what_is_measured_is_the_largest_of_each_family() -> None:
    recipe = load_recipe("default")
    sampled = heaviest(recipe)[len(recipe.enqueued) :]
    assert sorted(one.family for one in sampled) == sorted(recipe.parameters[0].choices)
    widths = {p.when["family"]: max(p.choices or ()) for p in recipe.parameters if p.field == "width"}
    for one in sampled:
        for families, width in widths.items():
            assert one.family not in families or one.width == width
    published = load_recipe("published")
    assert heaviest(published) == [entry.configuration for entry in published.enqueued]


def test_a_probe_trains_the_candidate_with_the_largest_activations() -> None:
    split = make_split(96)
    probe = _Probe("cpu", split, Split(split.images[:30], split.labels[:30]))
    small, large = make_configuration("cnn"), make_configuration("residual", width=32, optimizer="adamw")
    probe.prepare([small, large, make_configuration("mlnn")])
    assert probe._training.configuration == dataclasses.replace(large, learning_rate=1e-4)
    assert probe._training.epoch == 1
    rate = probe.run(0.05)
    assert np.isfinite(rate)
    assert rate > 0
    assert probe._training.epoch > 1
    assert probe.free_share() == 1.0
