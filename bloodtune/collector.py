"""Python's garbage collector kept out of starts and ends, where it finds nothing among thousands of modules."""

from __future__ import annotations

import contextlib
import gc
import sys
from collections.abc import Iterator
from typing import NoReturn


@contextlib.contextmanager
def collector_paused() -> Iterator[None]:
    """For imports: without it they take a sixth less time (docs/experiments.md).

    All that the process has by then is never looked at again: only for a process of our own, at its start.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if was_on:
            gc.enable()


def leave(code: int) -> NoReturn:
    """End the program without a last look for garbage, half a second after a search (docs/experiments.md).

    What Python does at exit is done, but not what waits for objects in a cycle to go: files are to be closed by then.
    """
    gc.freeze()
    sys.exit(code)
