"""The one error that a command line turns into a line on stderr and exit code 2, and how others are told."""

from __future__ import annotations

import difflib
from collections.abc import Collection


class InputError(ValueError):
    """Something that the user gave cannot be used.

    The message is one line: what was given, what is allowed and where it came from.
    """


def describe(error: BaseException) -> str:
    """Return type and message of any error, in one line."""
    return " ".join(f"{type(error).__name__}: {error}".split())


def unknown_name(kind: str, name: str, allowed: Collection[str]) -> str:
    """Return the message for a name that is not allowed, with the nearest one that is."""
    close = difflib.get_close_matches(name, allowed, n=1)
    hint = f"; did you mean {close[0]!r}?" if close else f"; allowed: {', '.join(allowed)}"
    return f"unknown {kind} {name!r}{hint}"
