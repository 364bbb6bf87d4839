"""Splits in Ray's object store: their images, or on one machine the name of the file to map."""

from __future__ import annotations

from typing import Any

import ray

from bloodtune.data.npz import Split


def send_split(split: Split) -> Split:
    """Return a split in the form in which workers of the connected Ray are to get it.

    If no other host can join this Ray, the workers map the file of a mapped split. Else they get the images themselves,
    of which Ray keeps one copy per host.
    """
    is_alone = all(node["NodeManagerAddress"] == "127.0.0.1" for node in ray.nodes())
    return split if is_alone else split.in_memory()


def put_split(split: Split, count: int | None = None) -> Any:
    """Put a split, or its first ``count`` images, into the object store; return its reference."""
    sent = send_split(split)
    return ray.put(sent if count is None else sent.first(count))
