"""Step times of one host: timed by a task, or by workers that wait for their first trial.

Ray never gives a process that has run a task to a trial, so after a task the trials import torch once more. Workers of
a Ray on this machine have imported torch while the driver still prepares, and can time before Ray gives them any work.
"""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bloodtune.files import replace
from bloodtune.space.configuration import Configuration
from bloodtune.training.numerics import AUTO, StepTimes, check_precision

if TYPE_CHECKING:
    from bloodtune.data.npz import Split

# The variable that tells driver and workers of a Ray on this machine the folder of Ray, through which they talk.
FOLDER = "BLOODTUNE_RAY_FOLDER"

# A part that no worker has claimed after this time is given up; a worker claims it once torch is imported, after 2 s.
PATIENCE_SECONDS = 30.0
_POLL_SECONDS = 0.02

# The images of each split that waiting workers receive: enough for the steps on a CPU.
_IMAGES = 256


def measure_host(
    train: Split, val: Split, configurations: Sequence[Configuration], device: str, asked: str
) -> tuple[str, StepTimes]:
    """Return the name of the chip and the step times of one configuration per family, timed in this process."""
    from bloodtune.training.device_splits import DeviceSplits
    from bloodtune.training.process_setup import prepare_process
    from bloodtune.training.step_times import describe_chip, measure_steps

    prepare_process(device)
    check_precision(asked if asked != AUTO else "float32", device)
    splits = DeviceSplits.load(train, val, device)
    return describe_chip(splits.device), measure_steps(splits, configurations, asked)


class WaitingWorkers:
    """The driver's request to workers that wait, and their answers: files in a folder that only the user reads.

    The driver writes ``request``. The first worker that creates ``claim-N`` times part N and writes ``answer-N``. A
    worker that finds no request, or that fails, writes ``declined``.
    """

    def __init__(self, folder: Path) -> None:
        """Use the folder of Ray."""
        self._folder, self._parts, self._patience_ends = folder, 0, 0.0

    @classmethod
    def of_this_ray(cls) -> WaitingWorkers | None:
        """Return those of this process's Ray; None if it is not ours, or its workers import nothing while they wait."""
        folder = os.environ.get(FOLDER)
        return cls(Path(folder)) if folder else None

    def ask(self, train: Split, val: Split, parts: Sequence[Sequence[Configuration]], asked: str) -> None:
        """Ask for the step times of each part, which has one configuration per family."""
        self._parts, self._patience_ends = len(parts), time.monotonic() + PATIENCE_SECONDS
        with contextlib.suppress(OSError):
            replace(self._folder / "request", pickle.dumps((train.first(_IMAGES), val.first(_IMAGES), parts, asked)))

    def answers(self) -> list[tuple[str, StepTimes]] | None:
        """Wait for what ``measure_host`` found in each part; None if workers decline, die or do not start."""
        found: dict[int, tuple[str, StepTimes]] = {}
        while len(found) < self._parts:
            if (self._folder / "declined").exists():
                return None
            for number in set(range(self._parts)) - set(found):
                is_hopeless = not self._is_under_way(number)  # before the look for an answer
                with contextlib.suppress(FileNotFoundError):
                    chip, times = json.loads((self._folder / f"answer-{number}").read_bytes())
                    found[number], is_hopeless = (chip, times), False
                if is_hopeless:
                    return None
            time.sleep(_POLL_SECONDS)
        return [found[number] for number in range(self._parts)]

    def serve(self) -> None:
        """Time, in a worker, the parts that no other worker has claimed."""
        try:
            train, val, parts, asked = pickle.loads((self._folder / "request").read_bytes())
            for number, configurations in enumerate(parts):
                if self._claim(number):
                    answer = measure_host(train, val, configurations, "cpu", asked)
                    replace(self._folder / f"answer-{number}", json.dumps(answer).encode())
        except Exception:  # the driver starts tasks, whose errors Ray reports
            with contextlib.suppress(OSError):
                (self._folder / "declined").touch()

    def _claim(self, number: int) -> bool:
        try:
            with (self._folder / f"claim-{number}").open("x") as stream:
                stream.write(str(os.getpid()))
        except FileExistsError:
            return False
        return True

    def _is_under_way(self, number: int) -> bool:
        try:
            worker = (self._folder / f"claim-{number}").read_text()
        except FileNotFoundError:
            return time.monotonic() < self._patience_ends
        try:
            os.kill(int(worker or os.getpid()), 0)  # empty for a moment
        except ProcessLookupError:
            return False
        return True
