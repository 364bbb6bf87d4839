"""Checkpoints: the checksum against the program b2sum, and the files in a run directory."""

import dataclasses
from pathlib import Path

import pytest

from bloodtune.run.checkpoints import CHECKPOINTS, DIGEST_BYTES, Checkpoint, state_digest
from bloodtune.run.directory import RunDirectory
from run_fixtures import make_checkpoint


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    return RunDirectory.create(tmp_path / "runs", "first", "")


@pytest.mark.parametrize(
    ("state", "digest"),
    [(b"", "cae66941d9efbd404e4d88758ea67670"), (b"abc", "cf4ab791c62b8d2b2109c90275287816")],
)
def test_the_digest_is_blake2b_of_128_bits(state: bytes, digest: str) -> None:
    assert state_digest(state).hex() == digest  # from `printf abc | b2sum -l 128`


def test_the_digest_has_the_length_that_the_file_keeps_for_it() -> None:
    assert {len(state_digest(bytes(length))) for length in (0, 1, 10_000)} == {DIGEST_BYTES}


def test_the_digest_covers_every_byte() -> None:
    state = bytes(300)
    changed = {state_digest(state[:place] + b"\x01" + state[place + 1 :]) for place in range(300)}
    assert len(changed | {state_digest(state)}) == 301


def test_a_checkpoint_does_not_print_its_state() -> None:
    assert repr(Checkpoint(3, b"megabytes")) == "Checkpoint(epoch=3, parameters=None)"


def test_checkpoints_are_equal_if_epoch_and_state_are() -> None:
    assert Checkpoint(3, b"a") == Checkpoint(3, b"a")
    assert Checkpoint(3, b"a") != Checkpoint(4, b"a")
    assert Checkpoint(3, b"a") != Checkpoint(3, b"b")


def test_a_checkpoint_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError, match="cannot assign to field 'epoch'"):
        Checkpoint(3, b"a").epoch = 4  # type: ignore[misc]


def test_the_last_checkpoint_of_a_trial_takes_the_place_of_the_one_before(run: RunDirectory) -> None:
    assert run.checkpoint(1) is None
    for trial, epoch in ((1, 9), (11, 2), (1, 10)):
        run.write_checkpoint(trial, make_checkpoint(epoch))
    assert run.checkpoint(1) == make_checkpoint(10)
    assert run.checkpoint(11) == make_checkpoint(2)
    assert sorted(file.name for file in (run.path / CHECKPOINTS).iterdir()) == ["1-10.checkpoint", "11-2.checkpoint"]
    run.drop_checkpoints(1)
    assert run.checkpoint(1) is None
    assert run.checkpoint(11) is not None


def test_a_checkpoint_that_is_not_whole_is_none(run: RunDirectory) -> None:
    run.write_checkpoint(0, make_checkpoint(4))
    file = run.path / CHECKPOINTS / "0-4.checkpoint"
    whole = file.read_bytes()
    garbled = [whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :] for place in range(len(whole))]
    for damage in (b"", b"x" * 400, whole[:-1], *garbled):
        file.write_bytes(damage)
        assert run.checkpoint(0) is None
    file.write_bytes(whole)
    assert run.checkpoint(0) == make_checkpoint(4)


def test_the_file_of_a_checkpoint_has_the_number_of_parameters_or_that_of_an_earlier_version(tmp_path: Path) -> None:
    run = RunDirectory.create(tmp_path, "run", "")
    for checkpoint in (Checkpoint(9, b"a"), Checkpoint(10, b"b", 1234)):
        run.write_checkpoint(3, checkpoint)
        assert run.checkpoint(3) == checkpoint
    assert [file.name for file in (run.path / "checkpoints").iterdir()] == ["3-10-1234.checkpoint"]
