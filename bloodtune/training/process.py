"""Settings of a process that trains: one thread, its memory kept, and no compiler imported."""

from __future__ import annotations

import ctypes
import importlib
import sys
from types import ModuleType
from typing import Any

import torch

_NAME = "torch._dynamo"

# glibc's M_TRIM_THRESHOLD, M_TOP_PAD and M_MMAP_THRESHOLD (malloc.h), in bytes; the last one is the largest that all
# versions take.
_MALLOC = {-1: 2**31 - 1, -2: 2**28, -3: 2**25}


def defer_dynamo() -> None:
    """Let the first optimiser of a process not import the compiler.

    torch.optim does so to tell it to keep out, which takes every worker more than a second (docs/experiments.md).
    """
    if _NAME not in sys.modules:
        sys.modules[_NAME] = torch._dynamo = _Deferred(_NAME)


class _Deferred(ModuleType):
    """What torch.optim calls does nothing, as nothing is compiled; whatever else is asked for comes from the module."""

    def disable(self, function: Any, *arguments: Any, **options: Any) -> Any:
        return function

    def graph_break(self, *arguments: Any) -> None:
        pass

    def __getattr__(self, name: str) -> Any:
        # Who looks through all modules, as `inspect` does, asks each for its file; an import asks for the path.
        if name.startswith("__") and name != "__path__":
            raise AttributeError(name)
        if sys.modules.get(_NAME) is self:
            del sys.modules[_NAME], torch._dynamo  # as if it had never been imported
        return getattr(importlib.import_module(_NAME), name)


def use_one_core() -> None:
    """Make this process train on one thread, keep the memory that it frees, and round denormal numbers to zero.

    As many trainings as cores beat many threads a training, of which those of two would spin on one core. Memory that
    goes back to the system at each step and is mapped anew takes up to a fifth of it; Adam's averages of gradients
    that have vanished, which processors are slow with, double a late epoch of an MLNN (docs/experiments.md).
    """
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt:
        for option, value in _MALLOC.items():
            mallopt(option, value)
