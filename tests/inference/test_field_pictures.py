"""The folder of drawn fields: complete or absent, one file per field."""

from pathlib import Path

import pytest

from bloodtune.inference.differential import FieldCount, Unreadable
from bloodtune.inference.field_pictures import FieldFolder


def field(source: str, drawn: bytes) -> FieldCount:
    return FieldCount(source, 0, 0, 0, 0.1, "given", (), drawn)


def test_fields_of_one_name_get_numbers(tmp_path: Path) -> None:
    with FieldFolder(tmp_path / "out") as folder:
        for source, drawn in (("a/x.jpg", b"1"), ("b/x.tif", b"2"), ("b/y.jpg", b"3")):
            folder.add(field(source, drawn))
        folder.add(Unreadable("z.jpg", "no field"))
        assert not (tmp_path / "out").exists()
    assert {file.name: file.read_bytes() for file in (tmp_path / "out").iterdir()} == {
        "x.png": b"1",
        "x-2.png": b"2",
        "y.png": b"3",
    }
    assert [file.name for file in tmp_path.iterdir()] == ["out"]


def test_after_an_error_nothing_is_written(tmp_path: Path) -> None:
    def stop() -> None:
        with FieldFolder(tmp_path / "out") as folder:
            folder.add(field("x.jpg", b"1"))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stop()
    assert list(tmp_path.iterdir()) == []
