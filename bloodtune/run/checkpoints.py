"""Checkpoint of a trial: its file name, content and checksum on disk."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

CHECKPOINTS = "checkpoints"
CHECKPOINT_SUFFIX, DIGEST_BYTES = ".checkpoint", 16


@dataclass(frozen=True)
class Checkpoint:
    """The state of a training after an epoch. Only workers serialize and deserialize it.

    ``parameters`` is the number of the network's parameters; files of earlier versions do not have it.
    """

    epoch: int
    state: bytes = field(repr=False)
    parameters: int | None = None

    def file_name(self, trial: int) -> str:
        """Return the name of its file."""
        numbers = [trial, self.epoch] if self.parameters is None else [trial, self.epoch, self.parameters]
        return "-".join(map(str, numbers)) + CHECKPOINT_SUFFIX


def state_digest(state: bytes) -> bytes:
    """Return the checksum that precedes the state on disk."""
    # The checksums in torch's format do not cover all bytes.
    return hashlib.blake2b(state, digest_size=DIGEST_BYTES).digest()
