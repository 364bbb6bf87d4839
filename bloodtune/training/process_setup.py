"""Settings of a training process: one thread, memory kept for reuse, no compiler import."""

from __future__ import annotations

import ctypes
import importlib
import sys
from types import ModuleType
from typing import Any

import torch

_NAME = "torch._dynamo"

# M_TRIM_THRESHOLD, M_TOP_PAD and M_MMAP_THRESHOLD of glibc's malloc.h, in bytes. 2**25 is the largest M_MMAP_THRESHOLD
# that all glibc versions accept.
_MALLOC = {-1: 2**31 - 1, -2: 2**28, -3: 2**25}


def prepare_process(device: str) -> None:
    """Set this process up to train on ``cpu`` or ``cuda``; on a CPU it keeps to one core."""
    _defer_dynamo()
    if device == "cpu":
        _use_one_core()


def _defer_dynamo() -> None:
    # torch.optim imports torch._dynamo, the compiler, only to exclude its own functions from compilation. The import
    # takes each worker more than a second (docs/experiments.md). A placeholder module stands in until something else
    # needs the compiler. For the rest of the process optimisers are not excluded, and nothing here compiles them.
    if _NAME not in sys.modules:
        sys.modules[_NAME] = torch._dynamo = _Deferred(_NAME)


class _Deferred(ModuleType):
    """Placeholder: the two functions that torch.optim uses do nothing; any other attribute imports the real module."""

    def disable(self, function: Any, *arguments: Any, **options: Any) -> Any:
        return function

    def graph_break(self, *arguments: Any) -> None:
        pass

    def __getattr__(self, name: str) -> Any:
        # `inspect` reads `__file__` of every module, which must not import the compiler; an import reads `__path__`.
        if name.startswith("__") and name != "__path__":
            raise AttributeError(name)
        if sys.modules.get(_NAME) is self:
            del sys.modules[_NAME], torch._dynamo  # as if never imported
        return getattr(importlib.import_module(_NAME), name)


def _use_one_core() -> None:
    # One single-threaded training per core is faster than multi-threaded trainings that compete for cores.
    torch.set_num_threads(1)
    # Adam's averages become denormal where gradients vanish. Processors are slow with denormal numbers: a late epoch of
    # an MLNN takes twice as long (docs/experiments.md).
    torch.set_flush_denormal(True)
    # Returning memory to the system after each step and mapping it again takes up to a fifth of the step.
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt:
        for option, value in _MALLOC.items():
            mallopt(option, value)
