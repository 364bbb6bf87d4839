"""A folder that is replaced as one, and whole after a crash."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from bloodtune import files
from bloodtune.files import check_new_or_ours, check_replaceable, finish_folder, replace_folder
from error_fixtures import refusal


def content(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in (folder / "model").iterdir()}


def test_all_files_are_replaced(tmp_path: Path) -> None:
    replace_folder(tmp_path / "model", {"a": b"1", "b": b"1"})
    replace_folder(tmp_path / "model", {"a": b"2"})
    assert content(tmp_path) == {"a": b"2"}
    assert [file.name for file in tmp_path.iterdir()] == ["model"], "nothing else stays"


def test_a_link_to_a_folder_stays_and_its_target_is_replaced(tmp_path: Path) -> None:
    replace_folder(tmp_path / "disk" / "model", {"a": b"1", "b": b"1"})
    (tmp_path / "model").symlink_to(tmp_path / "disk" / "model")
    replace_folder(tmp_path / "model", {"a": b"2"})
    assert (tmp_path / "model").is_symlink() and content(tmp_path / "disk") == content(tmp_path) == {"a": b"2"}
    assert sorted(file.name for file in tmp_path.iterdir()) == ["disk", "model"]


def test_the_folder_beside_which_the_new_one_is_written_is_checked_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "disk" / "model").mkdir(parents=True)
    check_replaceable(tmp_path / "disk" / "model")
    monkeypatch.setattr(os, "access", lambda place, _: Path(place) != tmp_path / "disk")
    message = refusal(lambda: check_replaceable(tmp_path / "disk" / "model"))
    assert message == f"{tmp_path / 'disk'} cannot be written: {tmp_path / 'disk'} is not a writable folder"


@pytest.mark.parametrize(
    ("mark", "message"),
    [
        ("", " has files; allowed: a new or empty folder"),
        ("card", " has files but no card; allowed: a new or empty folder, or one with card"),
    ],
)
def test_a_folder_with_files_of_others_is_refused_in_the_same_words_everywhere(
    tmp_path: Path, mark: str, message: str
) -> None:
    check_new_or_ours(tmp_path / "model", mark)
    (tmp_path / "model").mkdir()
    check_replaceable(tmp_path / "model", mark)
    (tmp_path / "model" / "photo.jpg").touch()
    for check in (check_new_or_ours, check_replaceable):
        assert refusal(lambda check=check: check(tmp_path / "model", mark)) == f"{tmp_path / 'model'}{message}"
    (tmp_path / "model" / "card").mkdir()
    assert refusal(lambda: check_new_or_ours(tmp_path / "model", mark)) == f"{tmp_path / 'model'}{message}"


def test_a_folder_with_the_file_that_we_write_may_be_replaced(tmp_path: Path) -> None:
    replace_folder(tmp_path / "model", {"card": b"1", "a": b"1"})
    check_replaceable(tmp_path / "model", "card")
    assert "allowed: a new or empty folder" in refusal(lambda: check_replaceable(tmp_path / "model"))


def test_a_crash_while_the_new_folder_is_written_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace_folder(tmp_path / "model", {"a": b"1"})

    def full(file: Path, content: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files, "replace", full)
    with pytest.raises(OSError, match="No space left"):
        replace_folder(tmp_path / "model", {"a": b"2"})
    assert content(tmp_path) == {"a": b"1"}
    finish_folder(tmp_path / "model")
    assert content(tmp_path) == {"a": b"1"}
    assert [file.name for file in tmp_path.iterdir()] == ["model"]


def test_a_crash_after_the_old_folder_was_deleted_is_finished_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace_folder(tmp_path / "model", {"a": b"1"})
    with monkeypatch.context() as patched:
        patched.setattr(Path, "rename", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt("now")))
        with pytest.raises(KeyboardInterrupt, match="now"):
            replace_folder(tmp_path / "model", {"a": b"2"})
    assert not (tmp_path / "model").exists()
    finish_folder(tmp_path / "model")
    assert content(tmp_path) == {"a": b"2"}


def test_finish_folder_does_nothing_where_there_is_none(tmp_path: Path) -> None:
    finish_folder(tmp_path / "model")
    assert list(tmp_path.iterdir()) == []
    replace_folder(tmp_path / "model", {"a": b"1"})
    shutil.rmtree(tmp_path / "model")
    finish_folder(tmp_path / "model")
    assert list(tmp_path.iterdir()) == []
