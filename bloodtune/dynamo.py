"""torch._dynamo, PyTorch's compiler, imported only where something is compiled."""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import Any

import torch

_NAME = "torch._dynamo"


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
