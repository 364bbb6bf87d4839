"""Imports of a worker as soon as it is up, and timings that the driver asks for, while the driver still prepares.

Only Ray imports this module, by name, if the package is installed or on ``PYTHONPATH``.
"""

from __future__ import annotations

import contextlib
import os

from bloodtune.command_line import collector_paused
from bloodtune.tuning.host_timing import WaitingWorkers

# One core per trial. Ray sets this when it assigns work to a worker, which is too late for the imports here.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# A worker with a broken torch must live on, to report the error with its first trial.
with contextlib.suppress(Exception), collector_paused():
    import bloodtune.training.trainer
    import bloodtune.tuning.worker  # noqa: F401

waiting = WaitingWorkers.of_this_ray()
if waiting:
    waiting.serve()
