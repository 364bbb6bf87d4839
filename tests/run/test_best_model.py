"""The model of a run: replaced as one, whole after a crash."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from bloodtune.run import best_model
from bloodtune.run.best_model import MODEL, ModelFiles, finish_model, write_model


def content(run: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in (run / MODEL).iterdir()}


def test_write_model_replaces_all_files(tmp_path: Path) -> None:
    write_model(tmp_path, ModelFiles({"a": b"1", "b": b"1"}))
    write_model(tmp_path, ModelFiles({"a": b"2"}))
    assert content(tmp_path) == {"a": b"2"}
    assert [file.name for file in tmp_path.iterdir()] == [MODEL], "nothing else stays"


def test_a_crash_while_the_new_model_is_written_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_model(tmp_path, ModelFiles({"a": b"1"}))

    def full(file: Path, content: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(best_model, "replace", full)
    with pytest.raises(OSError, match="No space left"):
        write_model(tmp_path, ModelFiles({"a": b"2"}))
    assert content(tmp_path) == {"a": b"1"}
    finish_model(tmp_path)
    assert content(tmp_path) == {"a": b"1"}
    assert [file.name for file in tmp_path.iterdir()] == [MODEL]


def test_a_crash_after_the_old_model_was_deleted_is_finished_by_a_resume(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_model(tmp_path, ModelFiles({"a": b"1"}))
    with monkeypatch.context() as patched:
        patched.setattr(Path, "rename", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt("now")))
        with pytest.raises(KeyboardInterrupt, match="now"):
            write_model(tmp_path, ModelFiles({"a": b"2"}))
    assert not (tmp_path / MODEL).exists()
    finish_model(tmp_path)
    assert content(tmp_path) == {"a": b"2"}


def test_finish_model_does_nothing_to_a_run_without_one(tmp_path: Path) -> None:
    finish_model(tmp_path)
    assert list(tmp_path.iterdir()) == []
    write_model(tmp_path, ModelFiles({"a": b"1"}))
    shutil.rmtree(tmp_path / MODEL)
    finish_model(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("card", "is_kept"), [('{"search": {"trial": 3}}', True), ('{"search": {"trial": 2}}', False), ("{", True)]
)
def test_the_model_of_a_trial_that_is_the_best_no_more_is_deleted(tmp_path: Path, card: str, is_kept: bool) -> None:
    write_model(tmp_path, ModelFiles({"model.json": card.encode()}))
    best_model.drop_model_of_another(tmp_path, 3)
    assert (tmp_path / MODEL).exists() == is_kept
    best_model.drop_model_of_another(tmp_path / "none", 3)
