"""Durable writes: what is on disk at each moment, and what remains after a failure."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from bloodtune.errors import InputError
from bloodtune.files import append, check_writable, follow_latest, keep_damaged_copy, latest_name, point_latest, replace
from error_fixtures import refusal


def fail(*_: object) -> Any:
    raise OSError(28, "No space left on device")


def names(folder: Path) -> list[str]:
    return sorted(os.listdir(folder))


# Replacement


def test_replace_writes_a_new_file_and_nothing_else(tmp_path: Path) -> None:
    replace(tmp_path / "best.json", b"\x00\xffnew")
    assert names(tmp_path) == ["best.json"]
    assert (tmp_path / "best.json").read_bytes() == b"\x00\xffnew"


def test_replace_leaves_nothing_of_a_longer_file(tmp_path: Path) -> None:
    file = tmp_path / "best.json"
    file.write_bytes(b"a much longer content")
    replace(file, b"new")
    assert file.read_bytes() == b"new"


def test_the_new_content_is_synced_before_the_file_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "best.json"
    file.write_bytes(b"old")
    seen: list[tuple[bytes, bytes]] = []
    monkeypatch.setattr(os, "fsync", lambda _: seen.append((file.read_bytes(), (tmp_path / ".best.json").read_bytes())))
    replace(file, b"new")
    assert seen == [(b"old", b"new")]


def test_a_replacement_that_fails_keeps_the_old_file_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "best.json"
    file.write_bytes(b"old")
    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="No space left on device"):
        replace(file, b"new")
    assert names(tmp_path) == ["best.json"]
    assert file.read_bytes() == b"old"


def test_replace_overwrites_what_a_crash_left(tmp_path: Path) -> None:
    (tmp_path / ".best.json").write_bytes(b"a part of an earlier, longer content")
    replace(tmp_path / "best.json", b"new")
    assert names(tmp_path) == ["best.json"]
    assert (tmp_path / "best.json").read_bytes() == b"new"


def test_replace_creates_no_folder(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"none/\.?best\.json"):
        replace(tmp_path / "none" / "best.json", b"new")
    assert names(tmp_path) == []


# Appending


def test_append_creates_a_file_and_keeps_what_it_has(tmp_path: Path) -> None:
    file = tmp_path / "curves.csv"
    append(file, "größer\n")
    append(file, "b\r\n")
    assert file.read_bytes() == "größer\nb\r\n".encode()


def test_appended_text_is_in_the_file_when_it_is_synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "curves.csv"
    append(file, "first\n")
    seen: list[str] = []
    monkeypatch.setattr(os, "fsync", lambda _: seen.append(file.read_text()))
    append(file, "second\n")
    assert seen == ["first\nsecond\n"]


def test_append_escapes_what_is_no_character(tmp_path: Path) -> None:
    file = tmp_path / "proposals.jsonl"
    append(file, "caf\udce9\n")
    assert file.read_bytes() == b"caf\\udce9\n"


# Access


def test_check_writable_takes_a_folder_that_exists(tmp_path: Path) -> None:
    check_writable(tmp_path)
    assert names(tmp_path) == []


def test_check_writable_refuses_a_file(tmp_path: Path) -> None:
    file = tmp_path / "runs"
    file.touch()
    assert refusal(lambda: check_writable(file)) == f"{file} cannot be written: {file} is not a writable folder"


def test_check_writable_names_the_nearest_folder_without_access(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: not (Path(path) == tmp_path and mode == os.W_OK))
    place = tmp_path / "a" / "b"
    assert refusal(lambda: check_writable(place)) == f"{place} cannot be written: {tmp_path} is not a writable folder"
    (tmp_path / "a").mkdir()
    check_writable(place)


def test_check_writable_takes_a_relative_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    check_writable(Path("runs/one"))
    Path("runs").touch()
    assert refusal(lambda: check_writable(Path("runs/one"))) == (
        f"runs/one cannot be written: {tmp_path / 'runs'} is not a writable folder"
    )


# Damaged files


def test_a_damaged_copy_has_the_bytes_of_the_file_which_stays(tmp_path: Path) -> None:
    file = tmp_path / "trials.csv"
    file.write_bytes(b"\xff\x00\n")
    copy = keep_damaged_copy(file)
    assert copy == tmp_path / "trials.csv.damaged"
    assert copy.read_bytes() == file.read_bytes() == b"\xff\x00\n"


def test_the_next_damaged_copy_takes_the_first_free_number(tmp_path: Path) -> None:
    file = tmp_path / "trials.csv"
    for name in ("trials.csv", "trials.csv.damaged", "trials.csv.damaged-3"):
        (tmp_path / name).touch()
    assert keep_damaged_copy(file).name == "trials.csv.damaged-2"
    assert keep_damaged_copy(file).name == "trials.csv.damaged-4"


# File systems without some operation


@pytest.fixture(params=[errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EACCES, errno.EINVAL])
def no_links(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    def symlink(*_: object, **__: object) -> None:
        raise OSError(request.param, os.strerror(request.param))

    monkeypatch.setattr(os, "symlink", symlink)


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, 524])
def test_writing_works_where_a_sync_is_not_supported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def fsync(_: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fsync)
    replace(tmp_path / "best.json", b"new")
    append(tmp_path / "trials.csv", "a row\n")
    assert [(tmp_path / name).read_bytes() for name in names(tmp_path)] == [b"new", b"a row\n"]


def test_a_sync_that_fails_for_another_reason_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fsync(_: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(OSError, match="Input/output error"):
        append(tmp_path / "trials.csv", "a row\n")


@pytest.mark.usefixtures("no_links")
def test_latest_is_a_file_with_the_name_where_there_are_no_links(tmp_path: Path) -> None:
    for name in ("one", "größer"):
        assert point_latest(tmp_path, name) == ""
        assert latest_name(tmp_path) == name
    assert names(tmp_path) == ["latest"]
    assert follow_latest(tmp_path / "latest" / "models" / "best") == tmp_path / "größer" / "models" / "best"
    assert follow_latest(tmp_path / "one") == tmp_path / "one"


def test_a_latest_that_cannot_be_replaced_is_named_and_nothing_fails(tmp_path: Path) -> None:
    (tmp_path / "latest").mkdir()
    assert point_latest(tmp_path, "two") == f"{tmp_path / 'latest'} does not name two: Is a directory"
    assert names(tmp_path) == ["latest"]
    assert latest_name(tmp_path) is None


@pytest.mark.parametrize("content", [b"", b"\n", b"\xff\xfe", b"../../etc\n"])
def test_what_else_latest_holds_leads_nowhere_else(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "latest").write_bytes(content)
    assert latest_name(tmp_path) in (None, "etc")


def test_point_latest_leaves_nothing_but_the_link(tmp_path: Path) -> None:
    for name in ("one", "two"):
        point_latest(tmp_path, name)
    assert [path.name for path in tmp_path.iterdir()] == ["latest"]
    assert os.readlink(tmp_path / "latest") == "two"


def test_check_writable_takes_what_can_be_made_and_leaves_no_trace(tmp_path: Path) -> None:
    check_writable(tmp_path / "a" / "b")
    assert list(tmp_path.iterdir()) == []


def test_check_writable_refuses_a_place_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"file/a cannot be written: .*file is not a writable folder$"):
        check_writable(tmp_path / "file" / "a")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_check_writable_refuses_a_folder_that_is_read_only(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(InputError, match=r"/a cannot be written: .* is not a writable folder$"):
            check_writable(tmp_path / ("x" * 300) / "a")
    finally:
        tmp_path.chmod(0o700)
