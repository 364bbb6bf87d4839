"""The copy of a run on storage: what is copied, and what happens while the storage fails."""

from __future__ import annotations

from pathlib import Path

import pytest

from bloodtune.errors import InputError
from bloodtune.run import mirror as storage
from bloodtune.run.directory import RunDirectory
from bloodtune.run.mirror import Mirror, Storage
from run_fixtures import make_checkpoint, make_epochs


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    return RunDirectory.create(tmp_path / "runs", "one", "")


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def mirror(run: RunDirectory, tmp_path: Path, said: list[str]) -> Mirror:
    return Storage(str(tmp_path / "copies")).mirror(run.path, said.append)


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(file.relative_to(folder)): file.read_bytes()
        for file in folder.rglob("*")
        if file.is_file() and not file.name.startswith(".")
    }


def test_a_snapshot_is_the_run_without_what_is_hidden(run: RunDirectory, mirror: Mirror, tmp_path: Path) -> None:
    run.write_checkpoint(3, make_checkpoint(2))
    (run.path / ".lock").touch()
    assert mirror.snapshot()
    copy = tmp_path / "copies" / "one"
    assert contents(copy) == contents(run.path)
    assert not list(copy.rglob(".*"))


def test_a_snapshot_copies_what_has_changed_and_deletes_what_is_gone(
    run: RunDirectory, mirror: Mirror, tmp_path: Path
) -> None:
    run.write_checkpoint(3, make_checkpoint(2))
    mirror.snapshot()
    copy = tmp_path / "copies" / "one"
    before = (copy / "recipe.toml").stat().st_mtime_ns
    run.append_epochs(3, make_epochs(2))
    run.write_checkpoint(3, make_checkpoint(4))
    mirror.snapshot()
    assert contents(copy) == contents(run.path)
    assert (copy / "recipe.toml").stat().st_mtime_ns == before
    run.drop_checkpoints(3)
    mirror.snapshot()
    assert contents(copy) == contents(run.path)


def test_storage_that_fails_for_a_while_is_told_of_twice_and_has_all_then(
    run: RunDirectory, mirror: Mirror, tmp_path: Path, said: list[str]
) -> None:
    mirror.snapshot()
    copies = tmp_path / "copies"
    copies.rename(tmp_path / "away")
    copies.write_text("no folder")
    run.append_epochs(0, make_epochs(2))
    assert [mirror.snapshot() for _ in range(3)] == [False] * 3
    assert len(said) == 1
    assert "copies fails: " in said[0]
    copies.unlink()
    (tmp_path / "away").rename(copies)
    assert mirror.snapshot()
    assert said[1:] == [f"{copies} is up to date again"]
    assert contents(copies / "one") == contents(run.path)


def test_the_last_snapshot_is_taken_when_the_search_has_ended(
    run: RunDirectory, mirror: Mirror, tmp_path: Path
) -> None:
    with mirror:
        run.append_epochs(0, make_epochs(3))
    assert contents(tmp_path / "copies" / "one") == contents(run.path)


def test_storage_that_fails_to_the_end_is_said(
    run: RunDirectory, mirror: Mirror, tmp_path: Path, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage, "LAST_PAUSE", 0.0)
    (tmp_path / "copies").write_text("no folder")
    with mirror:
        pass
    uri = tmp_path / "copies"
    assert said[-1] == f"{uri}: the copy of the run is incomplete; --resume one --storage {uri} completes it"


def test_fetch_brings_a_run_back(run: RunDirectory, mirror: Mirror, tmp_path: Path) -> None:
    mirror.snapshot()
    store = Storage((tmp_path / "copies").as_uri())
    store.fetch("one", tmp_path / "elsewhere")
    assert contents(tmp_path / "elsewhere" / "one") == contents(run.path)
    store.fetch("two", tmp_path / "elsewhere")
    assert [path.name for path in (tmp_path / "elsewhere").iterdir()] == ["one"]


@pytest.mark.parametrize("uri", ["nothing://x", "s3://", "://", "file://relative/path"])
def test_a_uri_that_is_none_is_an_error_of_one_line(uri: str) -> None:
    with pytest.raises(InputError, match=f"^--storage {uri}: ") as error:
        Storage(uri)
    assert len(str(error.value).splitlines()) == 1
