"""Error messages and names from strangers: InputError, one line, escapes, nearest name, counts."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection

_OBEYED = re.compile(r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


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
    """Return text in one line, with escape codes, line ends, lone surrogates and marks of direction spelled out."""
    return _OBEYED.sub(lambda match: ascii(match[0])[1:-1], text)


def spreadsheet_cell(text: str) -> str:
    """Return text for a cell of a CSV file, with an apostrophe where Excel would run it as a formula."""
    return f"'{text}" if text.startswith(_FORMULA) else text


def escape_markdown(text: str) -> str:
    """Escape the characters that end a table cell or start emphasis, code, a formula, a tag or a link in Markdown."""
    return re.sub(r"([\\|*<`$~]|(?<!\w)_|_(?!\w)|&(?=#|\w+;)|(?<=\])[(\[:])", r"\\\1", printable(text))


def plural(count: int, noun: str) -> str:
    """Return a count with its noun: ``1 image``, ``1,200 images``."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def unknown_name(kind: str, name: str, allowed: Collection[str]) -> str:
    """Return the message for an unknown name: the nearest allowed name, or all allowed names if none is near."""
    close = difflib.get_close_matches(name, allowed, n=1)
    hint = f"; did you mean {close[0]!r}?" if close else f"; allowed: {', '.join(allowed)}"
    return f"unknown {kind} {name!r}{hint}"
