"""Shared parts of the command lines: parser with one-line errors, flag types, fast start and exit."""

from __future__ import annotations

import argparse
import codecs
import contextlib
import gc
import io
import math
import os
import re
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import NoReturn

from bloodtune.errors import InputError, one_line, printable
from bloodtune.files import home_folder

INTERRUPTED = 130  # exit code of a program that Ctrl-C or another signal ended
# Signals that end a command as Ctrl-C does. Slurm can send SIGUSR1 before a time limit; a terminal that is closed sends
# SIGHUP. Windows has the first one alone.
ENDING = tuple(signal.Signals[name] for name in ("SIGTERM", "SIGUSR1", "SIGHUP") if hasattr(signal, name))
_AGAIN_SECONDS = 0.05  # after which a signal comes again that Python could not raise

# What the tables and the live screen show on a terminal that lacks their characters, one character each.
_PLAIN = str.maketrans("▁▂▃▄▅▆▇█│·–×±µ…", "12345678|.-x+u.")


class OneLineParser(argparse.ArgumentParser):
    """An argument parser with one-line errors and without abbreviated flags.

    From its construction on, no text ends the command because the terminal lacks a character.
    """

    def __init__(self, *, prog: str, description: str, epilog: str | None = None) -> None:
        codecs.register_error(_spell_out.__name__, _spell_out)
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors=_spell_out.__name__)
        super().__init__(
            prog=prog,
            description=description,
            epilog=epilog,
            allow_abbrev=False,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )

    def error(self, message: str) -> NoReturn:
        """Print the message in one line on stderr and exit with code 2."""
        print_lines(f"{self.prog}: {message}; see --help")
        raise SystemExit(2)


def _spell_out(error: UnicodeError) -> tuple[str, int]:
    # Handler of `codecs` for characters that an encoding lacks: plain ones, or escapes such as \u4e2d.
    assert isinstance(error, UnicodeEncodeError)
    text = error.object[error.start : error.end].translate(_PLAIN)
    return text.encode("ascii", "backslashreplace").decode("ascii"), error.end


def positive(text: str) -> int:
    """Parse a whole number of at least 1."""
    if not text.isascii() or not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r}: allowed are whole numbers from 1")
    return int(text)


def microns_per_pixel(text: str) -> float:
    """Parse a scale in which a red cell of 7 µm has 7 to 700 pixels."""
    low, high = 0.01, 1.0
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not low <= number <= high:
        raise argparse.ArgumentTypeError(f"{text!r}: allowed are numbers from {low} to {high:.0f}, such as 0.1")
    return number


def seed(text: str) -> int:
    """Parse a whole number of at least 0."""
    if not text.isascii() or not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r}: allowed are whole numbers from 0")
    return int(text)


def duration(text: str) -> float:
    """Parse a duration such as ``90s``, ``30m`` or ``2h``; return seconds."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smh]?)", text, re.ASCII)
    if not match or float(match[1]) <= 0:
        raise argparse.ArgumentTypeError(f"{text!r}: allowed are times above 0, such as 90s, 30m or 2h")
    return float(match[1]) * {"": 1, "s": 1, "m": 60, "h": 3600}[match[2]]


def share(text: str) -> float:
    """Parse a number from 0 to 1."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 <= number <= 1:
        raise argparse.ArgumentTypeError(f"{text!r}: allowed are numbers from 0 to 1")
    return number


def port(text: str) -> int:
    """Parse the number of an unprivileged TCP port, 1024 to 65535."""
    if not text.isascii() or not text.isdecimal() or not 1024 <= int(text) <= 65535:
        raise argparse.ArgumentTypeError(f"{text!r}: allowed are whole numbers from 1024 to 65535")
    return int(text)


@contextlib.contextmanager
def collector_paused() -> Iterator[None]:
    """Pause Python's garbage collector during imports: they take a sixth less time (docs/experiments.md).

    All objects that exist at the end are frozen: the collector never examines them again. Use this only at the start
    of a process that Bloodtune owns.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if was_on:
            gc.enable()


def print_lines(*lines: str) -> None:
    """Print lines to stderr with control characters escaped. Empty lines are left out.

    Nothing happens if stderr takes no more text, because its terminal or the next program of a pipe has ended.
    """
    with contextlib.suppress(OSError):
        for line in lines:
            if line:
                print(printable(line), file=sys.stderr, flush=True)


@contextlib.contextmanager
def ended_by_signals() -> Iterator[None]:
    """Let SIGTERM, SIGUSR1 and SIGHUP end this process as Ctrl-C does, so that it leaves nothing behind.

    A signal that is handled or ignored already, as under ``nohup``, stays so. Only a process's main thread can do this.
    A signal that comes where Python cannot raise, such as in a callback while it forks, comes again.
    """
    owner = os.getpid()

    def end(number: int, frame: FrameType | None) -> None:
        if os.getpid() != owner:  # a forked process, which its parent ends
            os._exit(128 + number)
        raise KeyboardInterrupt(f"by {signal.Signals(number).name}")

    def again(lost: sys.UnraisableHookArgs) -> None:
        if isinstance(lost.exc_value, KeyboardInterrupt):
            name = str(lost.exc_value).removeprefix("by ") or "SIGINT"
            threading.Timer(_AGAIN_SECONDS, os.kill, (owner, signal.Signals[name])).start()
        else:
            hook(lost)

    is_main = threading.current_thread() is threading.main_thread()
    taken = [number for number in ENDING if is_main and signal.getsignal(number) == signal.SIG_DFL]
    for number in taken:
        signal.signal(number, end)
    hook, sys.unraisablehook = sys.unraisablehook, again
    try:
        yield
    finally:
        sys.unraisablehook = hook
        for number in taken:
            signal.signal(number, signal.SIG_DFL)


def run_action(program: str, action: Callable[[], int], kept: str = "") -> int:
    """Run the action of a command and return its exit code; errors become one line on stderr.

    ``kept`` says what is on disk after an action that did not end, such as ``no file was written``.

    Returns:
        The action's own code; 2 for unusable input; 1 for an error of the system, such as a full disk; 130 after
        Ctrl-C or a signal that ends a command.
    """
    after = f"; {kept}" if kept else ""
    try:
        with ended_by_signals():
            _check_folders()
            return action()
    except InputError as error:
        print_lines(f"{program}: {error}")
        return 2
    except OSError as error:
        print_lines(f"{program}: {one_line(error)}{after}")
        return 1
    except KeyboardInterrupt as error:
        print_lines(f"{program}: {' '.join(['stopped', *map(str, error.args)])}{after}")
        return INTERRUPTED


def _check_folders() -> None:
    home_folder()
    try:
        os.getcwd()
    except OSError as error:  # its message names no folder
        raise InputError(f"the current folder cannot be used ({error.strerror}); change to another one") from None


def leave(code: int) -> NoReturn:
    """Exit without a final garbage collection, which takes 0.5 s after a search (docs/experiments.md).

    Exit handlers run. Finalizers of objects in reference cycles do not, so close all files first.
    """
    gc.freeze()
    sys.exit(code)
