"""Error messages: InputError for unusable input, any error in one line, nearest name, counts."""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Collection


class InputError(ValueError):
    """Unusable input from the user: a flag, a file or a field of a file.

    The message is one line with the given value, the allowed values and the file or flag. The commands print it on
    stderr and exit with code 2.
    """


def describe(error: BaseException) -> str:
    """Return the type and the message of any error in one line."""
    name, message = type(error).__name__, one_line(error)
    return name if message == name else f"{name}: {message}"


def one_line(text: object) -> str:
    """Return text or an error's message in one line; the type's name if that is empty."""
    return " ".join(str(text).split()) or type(text).__name__


def printable(text: str) -> str:
    """Return text in one line for a terminal: escape codes, line ends and marks that reverse text are spelled out."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() or unicodedata.category(one) == "Zs" else ascii(one)[1:-1] for one in text)


def plural(count: int, noun: str) -> str:
    """Return a count with its noun: ``1 image``, ``1,200 images``."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def unknown_name(kind: str, name: str, allowed: Collection[str]) -> str:
    """Return the message for an unknown name: the nearest allowed name, or all allowed names if none is near."""
    close = difflib.get_close_matches(name, allowed, n=1)
    hint = f"; did you mean {close[0]!r}?" if close else f"; allowed: {', '.join(allowed)}"
    return f"unknown {kind} {name!r}{hint}"
