"""What a worker imports as soon as it is up, while the driver still prepares.

Only Ray imports this, by its name, where the package is installed or on ``PYTHONPATH``.
"""

from __future__ import annotations

import contextlib
import os

from bloodtune.command_line import collector_paused

# One core a trial: what Ray says to a worker when it gives it work, too late for what is imported here.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# Whatever is wrong with torch, the worker must live to tell it, when it is asked to train.
with contextlib.suppress(Exception), collector_paused():
    import bloodtune.training.trainer
    import bloodtune.tuning.worker  # noqa: F401
