"""TensorBoard event files: one folder per trial, with scalars per epoch and hyperparameters.

tensorboardX is too slow: its import takes most of a second, and its records of a trial of three epochs take 2.4 ms,
a tenth of the time of an empty trial. This module takes 0.5 ms per trial (docs/experiments.md).
"""

from __future__ import annotations

import struct
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bloodtune.run.records import FAILED, EpochRecord, Proposal, TrialRecord

FOLDER = "tensorboard"

_TAGS = {
    "val/macro_f1": "val_macro_f1",
    "val/accuracy": "val_accuracy",
    "val/loss": "val_loss",
    "train/loss": "train_loss",
}
_VARINT, _DOUBLE, _BYTES, _FLOAT = 0, 1, 2, 5  # protobuf's wire types
_SUCCESS, _FAILURE = 1, 2  # Status of the HParams plugin


class EventFiles:
    """Writes ``tensorboard/trial-N/``. A resumed search adds a file to each folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / FOLDER
        self._name = f"events.out.tfevents.{time.time():.0f}.bloodtune"

    def epochs(self, proposal: Proposal, epochs: Sequence[EpochRecord]) -> None:
        """Write the epochs of a trial."""
        events = []
        if not self._file(proposal.trial).exists():
            events = [_event(_text(3, "brain.Event:2")), _event(_started(proposal))]
        for epoch in epochs:
            values = b"".join(_scalar(tag, getattr(epoch, name)) for tag, name in _TAGS.items())
            events.append(_event(_integer(2, epoch.epoch) + _message(5, values)))
        self._append(proposal.trial, events)

    def finished(self, record: TrialRecord) -> None:
        """Write the final state of a trial."""
        if self._file(record.trial).exists():
            ended = _integer(1, _FAILURE if record.state == FAILED else _SUCCESS) + _double(2, time.time())
            self._append(record.trial, [_event(_hyperparameters("session_end_info", 4, ended))])

    def close(self) -> None:
        """Do nothing: all events are already on disk."""

    def _file(self, trial: int) -> Path:
        return self._folder / f"trial-{trial:04d}" / self._name

    def _append(self, trial: int, events: Sequence[bytes]) -> None:
        file = self._file(trial)
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("ab") as stream:
            stream.write(b"".join(map(_frame, events)))


def _event(content: bytes) -> bytes:
    return _double(1, time.time()) + content


def _scalar(tag: str, value: float) -> bytes:
    return _message(1, _text(1, tag) + struct.pack("<Bf", 2 << 3 | _FLOAT, value))


def _started(proposal: Proposal) -> bytes:
    given = proposal.configuration.to_mapping() | ({"label": proposal.label} if proposal.label else {})
    known = b"".join(_message(1, _text(1, k) + _message(2, _value(v))) for k, v in given.items() if v is not None)
    start = known + _text(4, f"trial {proposal.trial}") + _double(5, time.time())
    return _hyperparameters("session_start_info", 3, start)


def _hyperparameters(tag: str, field: int, content: bytes) -> bytes:
    """Return a summary with one message of the HParams plugin, data version 0."""
    plugin = _text(1, "hparams") + _message(2, _integer(1, 0) + _message(field, content))
    return _message(5, _message(1, _text(1, f"_hparams_/{tag}") + _message(9, _message(1, plugin))))


def _value(value: Any) -> bytes:
    """Return a google.protobuf.Value."""
    if isinstance(value, bool):
        return _integer(4, value)
    return _double(2, float(value)) if isinstance(value, (int, float)) else _text(3, str(value))


def _integer(field: int, value: int) -> bytes:
    return _varint(field << 3 | _VARINT) + _varint(value)


def _double(field: int, value: float) -> bytes:
    return struct.pack("<Bd", field << 3 | _DOUBLE, value)


def _text(field: int, text: str) -> bytes:
    return _message(field, text.encode())


def _message(field: int, content: bytes) -> bytes:
    return _varint(field << 3 | _BYTES) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    digits = bytearray()
    while value > 127:
        digits.append(value & 127 | 128)
        value >>= 7
    return bytes((*digits, value))


def _frame(event: bytes) -> bytes:
    """Return a TFRecord: length, its checksum, the event, its checksum."""
    length = struct.pack("<Q", len(event))
    return length + _checksum(length) + event + _checksum(event)


def _checksum(content: bytes) -> bytes:
    crc = 0xFFFFFFFF
    for byte in content:
        crc = _CRC32C[(crc ^ byte) & 255] ^ crc >> 8
    crc ^= 0xFFFFFFFF
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def _crc32c_row(index: int) -> int:
    for _ in range(8):
        index = index >> 1 ^ (0x82F63B78 if index & 1 else 0)
    return index


_CRC32C = tuple(map(_crc32c_row, range(256)))  # Castagnoli's polynomial, reflected
