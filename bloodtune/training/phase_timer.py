"""Where a worker's time goes: each moment of it belongs to one named part."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable


class Stopwatch:
    """Seconds by part, from the first ``enter`` on; one that is not ``on`` does nothing.

    ``wait`` is called before each reading: what was handed to a GPU counts where it was asked for.
    """

    def __init__(self, *, on: bool = False) -> None:
        self.on = on
        self.wait: Callable[[], object] = lambda: None
        self._part = ""
        self._since = 0.0
        self._seconds: defaultdict[str, float] = defaultdict(float)

    def enter(self, part: str) -> None:
        """End the part that runs, and begin another one."""
        if not self.on:
            return
        self.wait()
        now = time.perf_counter()
        if self._part:
            self._seconds[self._part] += now - self._since
        self._part, self._since = part, now

    def rename(self, part: str) -> None:
        """Say what the part that runs turned out to be."""
        self._part = part

    def take(self) -> dict[str, float]:
        """Return the seconds of the parts that have ended, and forget them."""
        taken = dict(self._seconds)
        self._seconds.clear()
        return taken
