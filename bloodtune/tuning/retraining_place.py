"""Place of a summary's trainings: as in the search, several per GPU, or on CPUs if no GPU can train."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import ray

from bloodtune.command_line import print_lines
from bloodtune.errors import InputError
from bloodtune.training.numerics import Numerics, supported_precisions
from bloodtune.tuning.gpu_sharing import GpuError, calibrate
from bloodtune.tuning.plan import fitting_trials
from bloodtune.tuning.precision_choice import HostTimer
from bloodtune.tuning.retraining_workers import Workers

if TYPE_CHECKING:
    from bloodtune.data.dataset import Dataset
    from bloodtune.space.configuration import Configuration


def place_retrainings(
    record: Mapping[str, Any],
    dataset: Dataset,
    configurations: Sequence[Configuration],
    *,
    asked: int | None,
    gpus: float | None,
    resources: Mapping[str, float],
) -> Workers:
    """Return the workers of a summary; ``record`` is the provenance of the search.

    Without ``gpus``, the share of a GPU per training, it is that of the search's trials. ``asked`` is the number of
    workers, None for as many as ``resources`` allow.

    Raises:
        InputError: this machine has fewer GPUs than ``gpus``, or they cannot train.
    """
    share = _share(record, gpus, resources)
    try:
        numerics = _numerics(record, dataset, configurations, share)
    except GpuError as error:
        if gpus:
            raise InputError(f"--gpus-per-training {gpus:g}: {error}; 0 trains on CPUs") from None
        print_lines(f"{error}; retrainings run on CPUs")
        share, numerics = 0.0, _numerics(record, dataset, configurations, 0.0)
    fitting = fitting_trials(dict(resources), share)
    return Workers(min(asked or fitting, fitting), share, numerics, asked, is_untried=bool(share) and gpus is None)


def try_gpu(workers: Workers, dataset: Dataset, configurations: Sequence[Configuration]) -> Workers:
    """Return the workers that a GPU can hold, by training side by side on it; those on CPUs if it cannot train.

    Workers that were not chosen from the search's record are returned as they are.
    """
    if not workers.is_untried:
        return workers
    resources = ray.cluster_resources()
    try:
        most = int(1 / workers.gpus + 1e-9)
        trials = calibrate(dataset, configurations, most=most, numerics=workers.numerics).trials
    except GpuError as error:
        print_lines(f"{error}; retrainings run on CPUs")
        fitting, gpus, numerics = fitting_trials(resources, 0.0), 0.0, workers.numerics.usable_on("cpu")
    else:
        gpus, numerics = max(workers.gpus, 1 / trials), workers.numerics
        fitting = fitting_trials(resources, gpus)
    count = min(workers.asked or fitting, fitting)
    return dataclasses.replace(workers, count=count, gpus=gpus, numerics=numerics, is_untried=False)


def _share(record: Mapping[str, Any], asked: float | None, resources: Mapping[str, float]) -> float:
    here, used = resources.get("GPU", 0.0), record.get("gpus_per_trial")
    if asked is not None:
        if asked > here:
            given = f"--gpus-per-training {asked:g}"
            raise InputError(f"{given}: this machine has {here:g} GPUs; leave it out, or use 0")
        return asked
    if here and used == 0:
        print_lines("retrainings run on CPUs, as the search's trials did; --gpus-per-training 1 uses the GPU")
        return 0.0
    return float(used or 1.0) if here else 0.0


def _numerics(
    record: Mapping[str, Any], dataset: Dataset, configurations: Sequence[Configuration], share: float
) -> Numerics:
    known, device = Numerics.from_mapping(record), "cuda" if share else "cpu"
    # Old runs did not record a precision. A search on a GPU may have recorded one that this CPU lacks.
    if known and (share or known.precision in supported_precisions(device)):
        return known
    return HostTimer(dataset, configurations, device=device).result().numerics
