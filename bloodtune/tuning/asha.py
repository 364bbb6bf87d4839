"""ASHA's rule: trials pause at rungs, the best of those that reached a rung go on, and the others end with a reason."""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Iterator, Sequence

CONTINUE, PAUSE, STOP = "continue", "pause", "stop"


class WaitingHalving:
    """Asynchronous successive halving that pauses trials (Li et al. 2020, algorithm 2), with capped promotions.

    A trial pauses at each rung. A rung has one place for every so many trials that have reached it, its factor. The
    best paused trial goes on when there is a free place and it is among the best of its rung, as many as there are
    places. Higher rungs come first. So nobody goes on for being early: each trial that goes on has beaten factor - 1
    others. ``factors`` has one number for each of ``rungs``.

    With ``is_capped`` a place is taken for good. Without, more trials than places go on while values rise: those that
    went on earlier are then no longer among the best.

    ``trials`` is the number of trials that will ever start. If it is given, a trial ends once it cannot get a place any
    more, even if as many better ones fail as the factor says. It needs ``is_capped``.

    A trial that fails counts nowhere, so the next best takes its place. A trial that has ended at a rung counts as one
    that has reached it, and has no rank.
    """

    def __init__(
        self, rungs: Sequence[int], factors: Sequence[int], *, trials: int | None = None, is_capped: bool = True
    ) -> None:
        self.rungs = tuple(rungs)  # those that trials can leave
        self._factor = dict(zip(rungs, factors, strict=True))
        self._trials = trials
        self._is_capped = is_capped
        # Per rung, in their order: the trials that went on or may go on as (-value, number), best first; all that
        # reached it, likewise, and their values; those that went on.
        self._reached: dict[int, list[tuple[float, int]]] = {rung: [] for rung in rungs}
        self._ranked: dict[int, list[tuple[float, int]]] = {rung: [] for rung in rungs}
        self._values: dict[int, dict[int, float]] = {rung: {} for rung in rungs}
        self._left: dict[int, set[int]] = {rung: set() for rung in rungs}
        self._failed: set[int] = set()

    def restore(self, number: int, values: Sequence[float], *, ended: bool = False) -> None:
        """Add a trial of an earlier start, with its values by epoch. One that has ``ended`` never goes on."""
        for rung in self._reached:
            if rung < len(values):
                self._add(rung, number, values[rung - 1])
                self._left[rung].add(number)
            elif rung == len(values):
                self._add(rung, number, values[rung - 1])
                if ended:
                    self._end(rung, number)

    def fail(self, number: int) -> None:
        """Take a trial that has failed out of all rungs."""
        self._failed.add(number)
        for rung, values in self._values.items():
            if number in values:
                self._end(rung, number)
                _remove(self._ranked[rung], (-values.pop(number), number))
                self._left[rung].discard(number)

    def decide(self, number: int, epoch: int, value: float) -> tuple[str, str]:
        """Return CONTINUE, PAUSE or STOP for a trial after ``epoch``, and the reason of a STOP.

        Between rungs every trial goes on; so does a retried trial at a rung that it had left. The first value at a rung
        counts.
        """
        reached = self._reached.get(epoch)
        if reached is None or number in self._left[epoch]:
            return CONTINUE, ""
        place = self._add(epoch, number, value)
        if self._next() == (epoch, number):
            self._left[epoch].add(number)
            return CONTINUE, ""
        places = self._most_places().get(epoch)
        if places is None or bisect.bisect_left(reached, place) < places + self._factor[epoch]:
            return PAUSE, ""
        self._end(epoch, number)
        return STOP, self._reason(epoch, number, places)

    def resume(self, *, is_last: bool = False) -> int | None:
        """Return the paused trial that goes on now, or None.

        ``is_last`` says that no trial runs and none will start. Then a rung with fewer trials than its factor has one
        place too, so that small searches also train a trial to the end.
        """
        found = self._next(is_last)
        if found is None:
            return None
        rung, number = found
        self._left[rung].add(number)
        return number

    def dismiss(self, *, is_last: bool = False) -> list[tuple[int, str]]:
        """Return the paused trials that end now, with their reasons: those that cannot get a place any more.

        If no trial runs and none will start (``is_last``), these are all paused trials.
        """
        places = self._most_places()
        if is_last:
            places = {rung: len(values) // self._factor[rung] or 1 for rung, values in self._values.items()}
        found = []
        for rung, most in places.items():
            for number in list(self._waiting(rung, 0 if is_last else most + self._factor[rung])):
                found.append((number, self._reason(rung, number, most)))
                self._end(rung, number)
        return found

    def needed(self) -> dict[int, float]:
        """Return, per rung, the value that the next trial has to beat to be among the best, where it is known."""
        found = {}
        for rung, reached in self._reached.items():
            places = (len(self._values[rung]) + 1) // self._factor[rung]
            if 0 < places <= len(reached):
                found[rung] = -reached[places - 1][0]
        return found

    def _add(self, rung: int, number: int, value: float) -> tuple[float, int]:
        is_new = number not in self._values[rung]
        place = -self._values[rung].setdefault(number, value), number
        if is_new:
            bisect.insort(self._reached[rung], place)
            bisect.insort(self._ranked[rung], place)
        return place

    def _end(self, rung: int, number: int) -> None:
        _remove(self._reached[rung], (-self._values[rung][number], number))

    def _next(self, is_last: bool = False) -> tuple[int, int] | None:
        for rung in reversed(self.rungs):
            places = len(self._values[rung]) // self._factor[rung] or int(is_last)
            if places and not (self._is_capped and len(self._left[rung]) >= places):
                for number in self._waiting(rung, 0, places):
                    return rung, number
        return None

    def _waiting(self, rung: int, start: int, end: int | None = None) -> Iterator[int]:
        # The trials that are paused at a rung, of those from place `start` to `end`.
        for _, number in itertools.islice(self._reached[rung], start, end):
            if number not in self._left[rung]:
                yield number

    def _most_places(self) -> dict[int, int]:
        # Per rung, the places that it can have at the end of the search.
        if self._trials is None:
            return {}
        found, most = {}, self._trials - len(self._failed)
        for rung, values in self._values.items():
            found[rung] = max(1, max(most, len(values)) // self._factor[rung])
            most = max(found[rung], len(self._left[rung]))
        return found

    def _reason(self, rung: int, number: int, places: int) -> str:
        values = self._values[rung]
        rank = bisect.bisect_left(self._ranked[rung], (-values[number], number)) + 1
        first = f"epoch {rung}: {values[number]:.4f} is number {rank} of {len(values)}"
        if rank > places:
            return f"{first}, at most {places} go on"
        return f"{first}, but no place of {places} was left"


def _remove(places: list[tuple[float, int]], place: tuple[float, int]) -> None:
    # Remove one of the sorted places, if it is there.
    index = bisect.bisect_left(places, place)
    if places[index : index + 1] == [place]:
        del places[index]
