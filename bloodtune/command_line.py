"""What the command lines share: one-line errors, the types of flags, fast start and exit."""

from __future__ import annotations

import argparse
import contextlib
import gc
import math
import re
import sys
from collections.abc import Iterator
from typing import NoReturn


class OneLineParser(argparse.ArgumentParser):
    """A parser whose errors are one line on stderr and exit code 2, and that takes no abbreviated flags."""

    def __init__(self, *, prog: str, description: str, epilog: str | None = None) -> None:
        super().__init__(
            prog=prog,
            description=description,
            epilog=epilog,
            allow_abbrev=False,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )

    def error(self, message: str) -> NoReturn:
        """Print the message in one line and exit with 2."""
        print(f"{self.prog}: {message}; --help tells more", file=sys.stderr)
        raise SystemExit(2)


def positive(text: str) -> int:
    """Read a whole number from 1."""
    if not text.isascii() or not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r}: allowed are whole numbers from 1")
    return int(text)


def seed(text: str) -> int:
    """Read a whole number from 0."""
    if not text.isascii() or not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r}: allowed are whole numbers from 0")
    return int(text)


def duration(text: str) -> float:
    """Read a time such as ``90s``, ``30m`` or ``2h``, in seconds."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smh]?)", text, re.ASCII)
    if not match or float(match[1]) <= 0:
        raise argparse.ArgumentTypeError(f"{text!r}: give a time such as 90s, 30m or 2h")
    return float(match[1]) * {"": 1, "s": 1, "m": 60, "h": 3600}[match[2]]


def share(text: str) -> float:
    """Read a number from 0 to 1."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 <= number <= 1:
        raise argparse.ArgumentTypeError(f"{text!r}: allowed are numbers from 0 to 1")
    return number


def port(text: str) -> int:
    """Read a number of a TCP port that any user may take."""
    if not text.isascii() or not text.isdecimal() or not 1024 <= int(text) <= 65535:
        raise argparse.ArgumentTypeError(f"{text!r}: allowed are whole numbers from 1024 to 65535")
    return int(text)


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
