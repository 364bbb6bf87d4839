"""Mutations of small valid files: what hypothesis draws, and how it changes bytes and the trees of JSON and TOML."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import tomli_w
from hypothesis import strategies as st

Files = Mapping[str, bytes]

NUMBERS = ("0", "-1", "1e999", "-1e999", "NaN", "nan", "inf", "Infinity", "1.5", "1e-320", "9" * 400, "9" * 5000)
NUMBERS += (str(2**31), str(2**63), str(-(2**63) - 1), str(2**64), str(10**9), str(10**12), "1_0", "0x1F", "٣", "")
TOKENS = tuple(number.encode() for number in NUMBERS)
TOKENS += (b"\0", b"\xff\xfe", b"\xc3\x28", b"\xed\xa0\x80", b"\xef\xbb\xbf", b"\r", b"\n", b"\r\n", b'"', b"'", b",,")
TOKENS += (b";", b"\t", b"../../etc", b"[" * 3000, b'{"a":' * 3000, b"x" * 150_000, b"null", b"true", b"[]", b"{}")
VALUES: tuple[Any, ...] = (None, True, False, 0, -1, 1.5, float("nan"), float("inf"), 2**31, 2**63, 10**9, 10**12)
VALUES += (10**400, "", "x", "nan", "\ud800", "\0", "x" * 5000, "../..", [], {}, [1], [[]], [None], {"": 0}, {"a": {}})
TYPICAL = re.compile(rb"[-+]?\d+(?:\.\d+)?(?:e[-+]?\d+)?")


@dataclass(frozen=True)
class Edit:
    """One change of one file; ``at``, ``size`` and ``file`` are taken modulo what there is."""

    kind: str
    file: int
    at: int
    size: int
    token: bytes
    value: Any


def edits() -> st.SearchStrategy[list[Edit]]:
    """Draw one to four edits."""
    edit = st.builds(
        Edit,
        kind=st.sampled_from(tuple(_KINDS)),
        file=st.integers(0, 15),
        at=st.integers(0, 2**16),
        size=st.integers(0, 64),
        token=st.sampled_from(TOKENS) | st.binary(max_size=8),
        value=st.sampled_from(VALUES) | st.integers(-2, 300) | st.floats(allow_subnormal=False) | st.text(max_size=5),
    )
    return st.lists(edit, min_size=1, max_size=4)


def mutate(files: Files, changes: Sequence[Edit]) -> dict[str, bytes]:
    """Return the files with all changes."""
    changed = dict(files)
    for edit in changes:
        name = sorted(changed)[edit.file % len(changed)]
        changed[name] = _KINDS[edit.kind](changed[name], edit, name)
    return changed


def _flip(content: bytes, edit: Edit, _: str) -> bytes:
    at = edit.at % (len(content) or 1)
    return content[:at] + bytes(byte ^ (1 << edit.size % 8) for byte in content[at : at + 1]) + content[at + 1 :]


def _overwrite(content: bytes, edit: Edit, _: str) -> bytes:
    at = edit.at % (len(content) + 1)
    return content[:at] + edit.token + content[at + len(edit.token) :]


def _insert(content: bytes, edit: Edit, _: str) -> bytes:
    at = edit.at % (len(content) + 1)
    return content[:at] + edit.token + content[at:]


def _delete(content: bytes, edit: Edit, _: str) -> bytes:
    at = edit.at % (len(content) + 1)
    return content[:at] + content[at + edit.size :]


def _truncate(content: bytes, edit: Edit, _: str) -> bytes:
    return content[: edit.at % (len(content) + 1)]


def _repeat(content: bytes, edit: Edit, _: str) -> bytes:
    at = edit.at % (len(content) + 1)
    return content[:at] + content[at : at + 4 * edit.size] * (1 + edit.size) + content[at:]


def _number(content: bytes, edit: Edit, _: str) -> bytes:
    found = list(TYPICAL.finditer(content))
    if not found:
        return content
    start, end = found[edit.at % len(found)].span()
    return content[:start] + NUMBERS[edit.size % len(NUMBERS)].encode() + content[end:]


def _line(content: bytes, edit: Edit, _: str) -> bytes:
    lines = content.split(b"\n")
    one = lines.pop(edit.at % len(lines))
    return b"\n".join(lines[: edit.size] + [one] * (edit.size % 3) + lines[edit.size :])


def _tree(content: bytes, edit: Edit, name: str) -> bytes:
    """Replace, remove or wrap one node of a JSON or TOML file, or of one line of a file of JSON lines."""
    lines = content.split(b"\n") if name.endswith(("jsonl", "journal")) else [content]
    at = edit.size % len(lines)
    try:
        tree = tomllib.loads(content.decode()) if name.endswith("toml") else json.loads(lines[at])
        places = list(_places(tree))
        if not places:
            return content
        box, key = places[edit.at % len(places)]
        if edit.size % 5 == 4:
            del box[key]
        else:
            box[key] = [box[key]] if edit.size % 5 == 3 else edit.value
        lines[at] = tomli_w.dumps(tree).encode() if name.endswith("toml") else json.dumps(tree).encode()
    except (ValueError, TypeError, RecursionError):  # no tree, or TOML has no such value
        return content
    return b"\n".join(lines)


def _places(tree: Any) -> Any:
    items = list(tree.items()) if isinstance(tree, dict) else list(enumerate(tree)) if isinstance(tree, list) else []
    for key, value in items:
        yield tree, key
        yield from _places(value)


_KINDS: dict[str, Callable[[bytes, Edit, str], bytes]] = {
    **{"flip": _flip, "overwrite": _overwrite, "insert": _insert, "delete": _delete, "truncate": _truncate},
    **{"repeat": _repeat, "number": _number, "line": _line, "tree": _tree, "tree again": _tree},
}
