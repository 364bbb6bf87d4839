"""States of trainings as bytes: tensors and numbers in, tensors and numbers out, no code."""

from __future__ import annotations

import io
from typing import Any

import torch


def pack(state: Any) -> bytes:
    """Return a state of tensors and numbers in the format of ``torch.save``."""
    stream = io.BytesIO()
    torch.save(state, stream)
    return stream.getvalue()


def unpack(state: bytes) -> Any:
    """Return the content that ``pack`` packed, on the CPU. No code in it is executed."""
    return torch.load(io.BytesIO(state), map_location="cpu", weights_only=True)
