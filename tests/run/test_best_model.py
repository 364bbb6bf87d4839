"""The model of a run: dropped with the trial that it belongs to."""

from __future__ import annotations

from pathlib import Path

import pytest

from bloodtune.files import RUN_MODEL, replace_folder
from bloodtune.run.best_model import drop_model_of_another


@pytest.mark.parametrize(
    ("card", "is_kept"), [('{"search": {"trial": 3}}', True), ('{"search": {"trial": 2}}', False), ("{", True)]
)
def test_the_model_of_a_trial_that_is_the_best_no_more_is_deleted(tmp_path: Path, card: str, is_kept: bool) -> None:
    replace_folder(tmp_path / RUN_MODEL, {"model.json": card.encode()})
    drop_model_of_another(tmp_path, 3)
    assert (tmp_path / RUN_MODEL).exists() == is_kept
    drop_model_of_another(tmp_path / "none", 3)
