"""Mirror of the run directory on S3, Google Cloud, HDFS or in another folder, updated by a thread."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from pyarrow import fs

from bloodtune.errors import InputError, one_line
from bloodtune.files import check_writable

# A lost machine costs at most this many seconds of records, plus the duration of one snapshot.
SNAPSHOT_SECONDS = 60.0
LAST_ATTEMPTS = 5
LAST_PAUSE = 5.0  # seconds

# They have no folders, and a file appears only when it is complete.
OBJECT_STORES = ("s3", "gcs", "abfs")


class Storage:
    """A folder of runs at a URI, such as ``s3://bucket/runs``, or at a path.

    Raises:
        InputError: the storage does not respond, or the URI is not allowed.
    """

    def __init__(self, uri: str) -> None:
        self.uri = uri
        try:
            place = uri if "://" in uri else str(Path(uri).absolute())
            self.files, self.folder = fs.FileSystem.from_uri(place)
            self.files.get_file_info(self.folder)
        except (OSError, ValueError, NotImplementedError) as error:
            raise InputError(f"--storage {uri}: {one_line(error)}") from None
        if not self.folder:
            raise InputError(f"--storage {uri}: add a bucket or folder, as in s3://bucket/runs")
        if self.files.type_name == "local":
            check_writable(Path(self.folder))

    def mirror(self, run: Path, log: Callable[[str], None]) -> Mirror:
        """Return a mirror of a run directory in this storage; ``log`` receives its messages."""
        return Mirror(run, self, log)

    def write(self, path: str, content: bytes) -> None:
        """Write a file atomically."""
        if self.files.type_name in OBJECT_STORES:
            with self.files.open_output_stream(path) as stream:
                stream.write(content)
            return
        folder, _, name = path.rpartition("/")
        temporary = f"{folder}/.{name}"
        self.files.create_dir(folder, recursive=True)
        with self.files.open_output_stream(temporary) as stream:
            stream.write(content)
        self.files.move(temporary, path)

    def fetch(self, name: str, out: Path) -> None:
        """Copy the run called ``name`` into ``out``; do nothing if there is no such run.

        Raises:
            InputError: the run cannot be read, or ``out`` cannot be written.
        """
        try:
            source = f"{self.folder}/{name}"
            if self.files.get_file_info(f"{source}/trials.csv").type != fs.FileType.File:
                return
            temporary = out / f".{name}.fetched"
            temporary.mkdir(parents=True, exist_ok=True)
            fs.copy_files(source, str(temporary.absolute()), source_filesystem=self.files)
            temporary.rename(out / name)
        except OSError as error:
            raise InputError(f"--storage {self.uri}: {one_line(error)}") from None


class Mirror:
    """A thread that keeps a copy of a run directory in ``storage`` up to date while the context lasts.

    A snapshot copies the files that have changed since the previous one. Files of one snapshot can differ in age: a
    resumed search repairs the run. ``log`` receives a message when the storage fails and when it works again.
    """

    def __init__(self, run: Path, storage: Storage, log: Callable[[str], None]) -> None:
        self._run = run
        self._storage = storage
        self._target = f"{storage.folder}/{run.name}"
        self._log = log
        self._copied: dict[PurePosixPath, tuple[int, int]] = {}
        self._is_failing = False
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._update, name="mirror", daemon=True)

    def __enter__(self) -> Mirror:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        pause = threading.Event()
        for attempt in range(LAST_ATTEMPTS):
            if attempt:
                pause.wait(LAST_PAUSE)
            if self.snapshot():
                return
        uri, run = self._storage.uri, self._run.name
        self._log(f"{uri}: the copy of the run is incomplete; --resume {run} --storage {uri} completes it")

    def snapshot(self) -> bool:
        """Copy all changes; return whether this succeeded."""
        try:
            self._copy()
        except OSError as error:
            if not self._is_failing:
                self._log(f"{self._storage.uri} fails: {one_line(error)}; retrying")
            self._is_failing = True
            return False
        if self._is_failing:
            self._log(f"{self._storage.uri} is up to date again")
        self._is_failing = False
        return True

    def _update(self) -> None:
        while not self._ended.wait(SNAPSHOT_SECONDS if self._copied or self._is_failing else 0.0):
            self.snapshot()

    def _copy(self) -> None:
        files = self._storage.files
        present = {}
        for file in sorted(self._run.rglob("*")):
            name = PurePosixPath(file.relative_to(self._run).as_posix())
            if file.name.startswith(".") or not file.is_file():
                continue
            try:
                state = file.stat()
                present[name] = (state.st_mtime_ns, state.st_size)
                if self._copied.get(name) == present[name]:
                    continue
                content = file.read_bytes()
            except FileNotFoundError:  # such as a checkpoint that a newer one has replaced
                present.pop(name, None)
                continue
            self._storage.write(f"{self._target}/{name}", content)
            self._copied[name] = present[name]
        for name in self._copied.keys() - present.keys():
            files.delete_file(f"{self._target}/{name}")
            del self._copied[name]
