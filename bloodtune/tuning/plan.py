"""The plan of a search: its options checked against the machine, the data and the recipe."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bloodtune.data.dataset import Dataset
from bloodtune.errors import InputError
from bloodtune.run import provenance
from bloodtune.space.recipe import Recipe
from bloodtune.training.numerics import Numerics
from bloodtune.tuning.options import CHECKPOINT_EVERY, EPOCH_LIMIT


@dataclass(frozen=True)
class Plan:
    """Everything that a search needs to know before it starts.

    In seconds: ``time_budget`` (None for no end), ``epoch_limit`` (a trial fails if an epoch takes longer) and
    ``checkpoint_every``. ``place`` has the flags that say where to run, ``track`` the names of trackers. With
    ``profile`` workers report their time by phase. ``reasons`` say why ``workers`` and ``precision`` were chosen.
    """

    recipe: Recipe
    budget: int
    seed: int
    dataset: Dataset
    workers: int
    gpus_per_trial: float
    time_budget: float | None
    numerics: Numerics = dataclasses.field(default_factory=Numerics)
    reasons: Mapping[str, str] = dataclasses.field(default_factory=dict)
    epoch_limit: float = EPOCH_LIMIT
    checkpoint_every: float = CHECKPOINT_EVERY
    place: tuple[str, ...] = ()
    track: tuple[str, ...] = ()
    profile: bool = False

    @property
    def resources_per_trial(self) -> dict[str, float]:
        """The resources that Ray reserves per trial."""
        return {"cpu": 1, "gpu": self.gpus_per_trial} if self.gpus_per_trial else {"cpu": 1}

    def corrections(self, asked_workers: int | None) -> list[str]:
        """Return one line for each option that cannot be followed as given."""
        lines = []
        if asked_workers and asked_workers > self.workers:
            lines.append(
                f"--workers {asked_workers}: only {self.workers} trials at a time fit here, so {self.workers} run"
            )
        images = min(self.dataset.training_sizes)
        if self._largest_batch > images:
            asked = f"the recipe has batches of up to {self._largest_batch} images"
            lines.append(f"{asked}, but there are {images} training images: batches of {images} are used")
        return lines

    @property
    def choices(self) -> list[tuple[str, object]]:
        """The values that may have been chosen by measurement, with the names of their reasons."""
        return [("workers", self.workers), ("precision", self.numerics.precision)]

    def reason(self, line: str) -> str:
        """Return a colon and the reason for ``workers`` or ``precision``; an empty string if nothing was measured."""
        return f": {self.reasons[line]}" if self.reasons.get(line) else ""

    def describe_start(self, resources: dict[str, float]) -> dict[str, Any]:
        """Return the record of a start of this search; ``resources`` are those of the Ray that is connected."""
        return {
            **provenance.describe_software(),
            "seed": self.seed,
            "budget": self.budget,
            "recipe": self.recipe.description,
            "max_epochs": self.recipe.asha.max_epochs,
            "workers": self.workers,
            "gpus_per_trial": self.gpus_per_trial,
            **self.numerics.to_mapping(),
            "reasons": dict(self.reasons),
            "devices": provenance.describe_machine(resources),
            "data": provenance.describe_data(self.dataset),
            "started": provenance.now(),
        }

    @property
    def _largest_batch(self) -> int:
        enqueued = [entry.configuration.batch_size for entry in self.recipe.enqueued]
        searched = [p for p in self.recipe.parameters if p.field == "batch_size" and self.recipe.sampler != "enqueued"]
        return max([*enqueued, *(int(max(p.choices or (p.high or 0,))) for p in searched)], default=0)

    def _cost_of_folds(self) -> list[str]:
        sizes, split = self.dataset.training_sizes, len(self.dataset.train.labels)
        if len(sizes) == 1:
            return []
        cost = f"{sum(sizes):,} images, {sum(sizes) / split:.1f} times the training split"
        return [f"          each epoch trains {len(sizes)} networks on {cost}"]

    def __str__(self) -> str:
        """Return the plan as text."""
        asha, recipe = self.recipe.asha, self.recipe
        sizes = ", ".join(f"{count:,} {split}" for split, count in self.dataset.split_sizes.items())
        lines = [
            f"recipe    {recipe.description}",
            f"data      {self.dataset.title}: {sizes}",
            *(f"          {sentence}" for sentence in self.dataset.findings()),
            f"budget    {self.budget} configurations, {min(len(recipe.enqueued), self.budget)} of them enqueued",
            f"sampler   {recipe.sampler}, seed {self.seed}",
            f"ASHA      at most {asha.last_epoch} epochs, rungs at {', '.join(map(str, asha.rungs)) or 'none'}",
            f"expected  {asha.expected_epochs(self.budget):,} epochs if no trial fails",
            *self._cost_of_folds(),
            f"workers   {self.workers}, each with {_amounts(self.resources_per_trial)}{self.reason('workers')}",
            f"precision {self.numerics.precision}{self.reason('precision')}",
            "space",
        ]
        column = max(len(parameter.name) for parameter in recipe.parameters)
        for parameter in recipe.parameters:
            when = " and ".join(f"{field} = {'|'.join(map(str, v))}" for field, v in parameter.when.items())
            span = (
                ", ".join(map(str, parameter.choices))
                if parameter.choices is not None
                else f"{parameter.low} to {parameter.high}{', log' if parameter.log else ''}"
            )
            lines.append(f"  {parameter.name:<{column}} {span}{f'   if {when}' if when else ''}")
        return "\n".join(lines)


def fitting_trials(resources: dict[str, float], gpus_per_trial: float) -> int:
    """Return how many trials run at a time, each with one CPU and a share of a GPU; at least 1."""
    cpus, gpus = int(resources.get("CPU", 1)), resources.get("GPU", 0.0)
    if not gpus_per_trial or not gpus:
        return max(1, cpus)
    # A share of 0.4 fits twice on one GPU, not five times on two.
    return max(1, min(cpus, int(gpus) * int(1 / gpus_per_trial + 1e-9)))


def choose_workers(asked: int | None, resources: dict[str, float], gpus_per_trial: float, *, is_local: bool) -> int:
    """Return how many trials run at a time: as many as ``asked``, else as many as fit.

    On one machine never more than fit. A cluster may grow into the number that was asked for.
    """
    fitting = fitting_trials(resources, gpus_per_trial)
    return min(asked or fitting, fitting) if is_local else asked or fitting


def choose_gpu_share(asked: float | None, resources: dict[str, float], *, is_local: bool) -> float:
    """Return the GPUs per trial: as many as ``asked``, else 1 if there are GPUs, which ``gpu_sharing`` may divide.

    Raises:
        InputError: this machine has fewer, and no cluster is joined that could add some.
    """
    gpus = resources.get("GPU", 0.0)
    if asked is None:
        return 1.0 if gpus else 0.0
    if asked > gpus and is_local:
        raise InputError(f"--gpus-per-trial {asked:g}: this machine has {gpus:g} GPUs; leave it out, or use 0")
    return asked


def _amounts(resources: dict[str, float]) -> str:
    names = {"cpu": "CPU", "gpu": "GPU"}
    return " and ".join(f"{amount:g} {names[name]}" for name, amount in resources.items())
