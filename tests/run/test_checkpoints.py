"""The checksum of a checkpoint against the program b2sum, and what a checkpoint shows of itself."""

import dataclasses

import pytest

from bloodtune.run.checkpoints import DIGEST_BYTES, Checkpoint, state_digest


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
