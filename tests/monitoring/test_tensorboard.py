"""TensorBoard's files, read back with the messages that tensorboardX brings."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import pytest
from tensorboardX.crc32c import crc32c
from tensorboardX.proto.event_pb2 import Event
from tensorboardX.proto.plugin_hparams_pb2 import HParamsPluginData

from bloodtune.monitoring.tensorboard import EventFiles
from bloodtune.run.records import FAILED, Proposal
from engine_fixtures import make_configuration
from run_fixtures import make_epochs, make_record


def masked(content: bytes) -> int:
    crc = crc32c(content)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def read(folder: Path) -> list[Any]:
    """Return the events of a trial's only file, each with its checksums checked."""
    (file,) = folder.glob("events.out.tfevents.*")
    content, events = file.read_bytes(), []
    while content:
        (length,) = struct.unpack("<Q", content[:8])
        assert struct.unpack("<I", content[8:12])[0] == masked(content[:8])
        event, content = content[12 : 12 + length], content[12 + length :]
        assert struct.unpack("<I", content[:4])[0] == masked(event)
        content = content[4:]
        events.append(Event.FromString(event))
    return events


@pytest.fixture
def events(tmp_path: Path) -> list[Any]:
    files = EventFiles(tmp_path)
    proposal = Proposal(300, "Überraschung", make_configuration("residual", dihedral=True))
    files.epochs(proposal, make_epochs(2))
    files.epochs(proposal, make_epochs(3)[2:])
    files.finished(make_record(300, state=FAILED))
    files.close()
    return read(tmp_path / "tensorboard" / "trial-0300")


def test_each_epoch_has_its_scalars(events: list[Any]) -> None:
    assert events[0].file_version == "brain.Event:2"
    found = [(e.step, {v.tag: v.simple_value for v in e.summary.value}) for e in events if e.step]
    assert [step for step, _ in found] == [1, 2, 3]
    for (_, scalars), epoch in zip(found, make_epochs(3), strict=True):
        assert scalars == pytest.approx(
            {
                "val/macro_f1": epoch.val_macro_f1,
                "val/accuracy": epoch.val_accuracy,
                "val/loss": epoch.val_loss,
                "train/loss": epoch.train_loss,
            }
        )
    assert all(event.wall_time > 1.7e9 for event in events)


def test_hyperparameters_stand_at_the_start_and_the_end(events: list[Any]) -> None:
    plugins = [
        (value.tag, HParamsPluginData.FromString(value.metadata.plugin_data.content))
        for event in events
        for value in event.summary.value
        if value.metadata.plugin_data.plugin_name == "hparams"
    ]
    (start_tag, start), (end_tag, end) = plugins
    assert (start_tag, end_tag) == ("_hparams_/session_start_info", "_hparams_/session_end_info")
    known = start.session_start_info.hparams
    assert known["family"].string_value == "residual" and known["label"].string_value == "Überraschung"
    assert known["batch_size"].number_value == 32 and known["dihedral"].bool_value is True
    assert "hidden_size" not in known
    assert start.session_start_info.group_name == "trial 300"
    assert end.session_end_info.status == 2, "failed"


def test_a_trial_without_an_epoch_leaves_nothing(tmp_path: Path) -> None:
    EventFiles(tmp_path).finished(make_record(0))
    assert not (tmp_path / "tensorboard").exists()
