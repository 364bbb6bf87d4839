"""Checkpoint of a trial: its file name, content and checksum on disk."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

CHECKPOINTS = "checkpoints"
CHECKPOINT_SUFFIX, DIGEST_BYTES = ".checkpoint", 16


@dataclass(frozen=True)
class Checkpoint:
    """The state of a training after an epoch. Only workers serialize and deserialize it."""

    epoch: int
    state: bytes = field(repr=False)


def state_digest(state: bytes) -> bytes:
    """Return the checksum that precedes the state on disk."""
    # The checksums in torch's format do not cover all bytes.
    return hashlib.blake2b(state, digest_size=DIGEST_BYTES).digest()
