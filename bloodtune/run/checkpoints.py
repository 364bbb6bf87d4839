"""The checkpoint of a trial, and how one is named and checked on disk."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

CHECKPOINTS = "checkpoints"
CHECKPOINT_SUFFIX, DIGEST_BYTES = ".checkpoint", 16


@dataclass(frozen=True)
class Checkpoint:
    """The state of a training after an epoch, as its worker wrote it: data, which nothing but a worker opens."""

    epoch: int
    state: bytes = field(repr=False)


def state_digest(state: bytes) -> bytes:
    """Return the checksum that stands before the state on disk."""
    # Before each checkpoint: the checksums within torch's format do not cover all of it.
    return hashlib.blake2b(state, digest_size=DIGEST_BYTES).digest()
