"""Placement of trials by measurement: GPUs or CPUs, precision, and the number of workers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bloodtune.command_line import print_lines
from bloodtune.errors import InputError
from bloodtune.training.numerics import AUTO, Numerics, check_precision
from bloodtune.tuning.gpu_sharing import GpuError, calibrate
from bloodtune.tuning.options import SearchOptions
from bloodtune.tuning.plan import choose_gpu_share, choose_workers
from bloodtune.tuning.precision_choice import HostTimer, choose_threads

if TYPE_CHECKING:
    from bloodtune.data.dataset import Dataset
    from bloodtune.space.configuration import Configuration


@dataclass(frozen=True)
class Placement:
    """The share of a GPU per trial (0: CPUs), the number of workers and the numerics, with reasons for the last two."""

    gpus_per_trial: float
    workers: int
    numerics: Numerics
    reasons: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class Placer:
    """Measures on the Ray that is connected, and chooses.

    Args:
        options: those that name a share of a GPU, workers or a precision are followed.
        dataset: its first images are trained on.
        configurations: the largest ones of the search, of every family.
        budget: the number of trials.
        before: the provenance of a resumed run, whose numerics are kept; else empty.
        resources: those of all hosts.
        is_local: Ray runs on this machine alone.
        dry_run: how many trials share a GPU is not measured.
    """

    options: SearchOptions
    dataset: Dataset
    configurations: Sequence[Configuration]
    budget: int
    before: Mapping[str, Any]
    resources: dict[str, float]
    is_local: bool
    dry_run: bool

    def place(self) -> Placement:
        """Return the choice. If no GPU can train, trials use CPUs, and a line says so.

        Raises:
            InputError: the options ask for a GPU that cannot train, or for a precision that the device lacks.
        """
        asked, dataset = self.options.gpus_per_trial, self.dataset
        share = choose_gpu_share(asked, self.resources, is_local=self.is_local)
        try:
            share, numerics, reasons = self._measure(share)
        except GpuError as error:
            if asked:
                raise InputError(f"--gpus-per-trial {asked:g}: {error}; 0 trains on CPUs") from None
            print_lines(f"{error}; trials train on CPUs, unless --gpus-per-trial 1 insists on it")
            share, numerics, reasons = self._measure(0.0)
        workers = choose_workers(self.options.workers, self.resources, share, is_local=self.is_local)
        if not (self.options.workers or share) and self.is_local:
            workers, reasons["workers"] = choose_threads(dataset, self.configurations, numerics, fitting=workers)
        return Placement(share, workers, numerics, reasons)

    def _measure(self, share: float) -> tuple[float, Numerics, dict[str, str]]:
        device, timer = "cuda" if share else "cpu", None
        if Numerics.from_mapping(self.before) is None:
            asked = self.options.precision or AUTO
            timer = HostTimer(self.dataset, self.configurations, device=device, asked=asked, is_local=self.is_local)
        import bloodtune.tuning.plan_execution  # noqa: F401, takes a second, while the hosts measure

        numerics, reasons = find_numerics(self.before, timer, device)
        if share and self.options.gpus_per_trial is None and not self.dry_run:
            share = self._share_gpus(numerics)
        return share, numerics, reasons

    def _share_gpus(self, numerics: Numerics) -> float:
        print_lines("measuring how many trials can share a GPU; --gpus-per-trial X skips this")
        most = max(1, min(self.budget, int(self.resources["CPU"] / self.resources["GPU"])))
        calibration = calibrate(self.dataset, self.configurations, most=most, numerics=numerics)
        print_lines(str(calibration))
        return 1 / calibration.trials


def find_numerics(before: Mapping[str, Any], timer: HostTimer | None, device: str) -> tuple[Numerics, dict[str, str]]:
    """Return the numerics that ``timer`` chooses, or without one those of the run, and the reason.

    Raises:
        InputError: ``device`` has no such precision, or cannot train.
    """
    if timer:
        timing = timer.result()
        return timing.numerics, {"precision": timing.reason}
    known = Numerics.from_mapping(before)
    assert known is not None
    if device == "cpu":
        check_precision(known.precision, device)
    return known, {"precision": "that of the run"}
