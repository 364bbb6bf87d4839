"""The copy of a run on a stand-in of S3 that fails for a while."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from moto.server import ThreadedMotoServer

from bloodtune.run.directory import RunDirectory
from bloodtune.run.mirror import Storage
from fault_fixtures import GetRow
from run_fixtures import make_checkpoint, make_epochs

pytestmark = pytest.mark.cluster


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ThreadedMotoServer]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    yield server
    server.stop()


def test_a_run_is_copied_to_s3_and_fetched_from_there(server: ThreadedMotoServer, tmp_path: Path, row: GetRow) -> None:
    host, port = server.get_host_and_port()
    boto3.client("s3", endpoint_url=f"http://{host}:{port}", region_name="us-east-1").create_bucket(Bucket="cells")
    uri = f"s3://cells/runs?endpoint_override={host}:{port}&scheme=http&region=us-east-1"
    run = RunDirectory.create(tmp_path / "runs", "one", "")
    said: list[str] = []
    mirror = Storage(uri).mirror(run.path, said.append)
    run.append_epochs(0, make_epochs(2))
    run.write_checkpoint(0, make_checkpoint(2))
    assert mirror.snapshot()
    fails = row("storage (S3) that fails for a while")
    for attempt in range(2):
        server.stop()
        run.append_epochs(attempt + 1, make_epochs(3))
        assert not mirror.snapshot()
        server = ThreadedMotoServer(ip_address="127.0.0.1", port=port)
        server.start()
        assert mirror.snapshot()
        fails.times += 1
    assert len(said) == 4
    run.drop_checkpoints(0)
    assert mirror.snapshot()
    Storage(uri).fetch("one", tmp_path / "elsewhere")
    fetched = {file.name: file.read_bytes() for file in (tmp_path / "elsewhere" / "one").rglob("*") if file.is_file()}
    assert fetched == {file.name: file.read_bytes() for file in run.path.rglob("*") if file.is_file()}
    server.stop()
