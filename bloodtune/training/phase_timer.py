"""A stopwatch that assigns all of a worker's time to named parts (augment, validate, ...)."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable


class Stopwatch:
    """Measures the seconds per part, starting with the first ``enter``; it does nothing unless ``on``.

    ``wait`` is called before the clock is read. On a GPU it synchronizes, so that a kernel's time counts for the part
    that launched it.
    """

    def __init__(self, *, on: bool = False) -> None:
        self.on = on
        self.wait: Callable[[], object] = lambda: None
        self._part = ""
        self._since = 0.0
        self._seconds: defaultdict[str, float] = defaultdict(float)

    def enter(self, part: str) -> None:
        """End the current part and start ``part``."""
        if not self.on:
            return
        self.wait()
        now = time.perf_counter()
        if self._part:
            self._seconds[self._part] += now - self._since
        self._part, self._since = part, now

    def rename(self, part: str) -> None:
        """Rename the current part, for parts that are identified only after they have started."""
        self._part = part

    def take(self) -> dict[str, float]:
        """Return the seconds per part of all parts that have ended, and reset them."""
        taken = dict(self._seconds)
        self._seconds.clear()
        return taken
