"""A few inputs of the fuzzer for each reader; `make fuzz` tries as many as time allows."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fuzz_targets import TARGETS, write
from mutations import Edit, edits, mutate

_SLOW = ("checkpoints", "provenance")  # up to a second for each input


@pytest.mark.parametrize("name", TARGETS)
def test_a_damaged_file_is_read_or_refused_in_one_line(
    name: str, home: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    target = TARGETS[name]
    folder = tmp_path_factory.mktemp(name)
    examples = target.prepare(folder)

    @settings(
        max_examples=4 if name in _SLOW else 15,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.sampled_from(range(len(examples))), edits())
    def attempt(number: int, changes: list[Edit]) -> None:
        write(folder, mutate(examples[number], changes))
        message = ""
        try:
            target.read(folder)
        except target.allowed as refused:
            message = str(refused)
        assert "\n" not in message or target.allowed == (Exception,)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of Pillow and PyTorch
        attempt()
