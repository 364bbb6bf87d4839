"""Splits on the CPU."""

import pytest

from bloodtune.training.device_splits import DeviceSplits
from engine_fixtures import make_splits


@pytest.fixture(scope="module")
def splits() -> DeviceSplits:
    return make_splits()
