"""Tables of learning curves for tests: a toy with known answers, and an invented run of our own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from optuna.distributions import FloatDistribution

from bloodtune.run.directory import RunDirectory
from bloodtune.run.records import EpochRecord, Proposal
from bloodtune.space.recipe_file import load_recipe
from bloodtune.tuning.sampler import RecipeSpace
from curves.foreign import RECIPE
from curves.spaces import PointSpace
from curves.surrogate import DRAWS, Answers
from curves.tables import LAST_EPOCH, Table, draw_pool
from run_fixtures import make_record

SPACE = PointSpace({"x": FloatDistribution(0, 1), "y": FloatDistribution(1e-4, 1, log=True)})


class ToySurrogate:
    """The error falls with the epochs to 0.1 + x; one epoch takes 1 second below x = 0.5, else 3."""

    def answer(self, mappings: Sequence[Mapping[str, Any]]) -> Answers:
        x = np.array([mapping["x"] for mapping in mappings])
        errors = 0.1 + x[:, None] + 0.5 / np.arange(1, LAST_EPOCH + 1)
        noise = np.zeros((len(x), DRAWS, LAST_EPOCH))
        return Answers(np.log(errors), noise, np.where(x < 0.5, 1.0, 3.0))


def toy_table(task: str = "toy", pool: int = 50) -> Table:
    return Table("toys", task, RECIPE, SPACE, ToySurrogate(), draw_pool(RECIPE, SPACE, pool))


def invented_run(folder: Path, trials: int) -> RunDirectory:
    """Write a run of random configurations of the default recipe, all trained to the last epoch by nobody."""
    recipe = load_recipe("default")
    run = RunDirectory.create(folder, "blood", recipe.text)
    generator = np.random.default_rng(0)
    for number, configuration in enumerate(draw_pool(recipe, RecipeSpace(recipe), trials)):
        level = 0.02 + 0.05 * abs(np.log10(configuration.learning_rate) + 2) + 0.1 * (configuration.family == "mlnn")
        errors = level * (1 + 5 / np.arange(1, LAST_EPOCH + 1)) * np.exp(generator.normal(0, 0.05, LAST_EPOCH))
        values = [float(1 - error) for error in errors]
        run.append_epochs(number, [EpochRecord(e, 1.0, 1.0, v, v, 2.0) for e, v in enumerate(values, start=1)])
        changes = {"trial": number, "epochs": LAST_EPOCH, "val_macro_f1": values[-1], "configuration": configuration}
        run.append_trial(make_record(**changes))
        run.append_proposal(Proposal(number, "", configuration))
    return run
