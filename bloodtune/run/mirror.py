"""Mirror of the run directory on S3, Google Cloud, HDFS or in another folder, kept by a thread."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from pyarrow import fs

from bloodtune.errors import InputError
from bloodtune.files import check_writable

# A lost machine loses at most this many seconds of records, plus the duration of one copy.
SNAPSHOT_SECONDS = 60.0
LAST_ATTEMPTS = 5
LAST_PAUSE = 5.0

# They have no folders, and a file that is being written is not there yet.
OBJECT_STORES = ("s3", "gcs", "abfs")


class Storage:
    """A folder at a URI, such as ``s3://bucket/runs``, or at a path; runs lie in it under their names."""

    def __init__(self, uri: str) -> None:
        """Find the file system, and see that it answers.

        Raises:
            InputError: it cannot be used.
        """
        self.uri = uri
        try:
            place = uri if "://" in uri else str(Path(uri).absolute())
            self.files, self.folder = fs.FileSystem.from_uri(place)
            self.files.get_file_info(self.folder)
        except (OSError, ValueError, NotImplementedError) as error:
            raise InputError(f"--storage {uri}: {_one_line(error)}") from None
        if not self.folder:
            raise InputError(f"--storage {uri}: no bucket or folder is named")
        if self.files.type_name == "local":
            check_writable(Path(self.folder))

    def mirror(self, run: Path, say: Callable[[str], None]) -> Mirror:
        """Return what keeps a copy of a run here; ``say`` prints a line."""
        return Mirror(run, self, say)

    def write(self, path: str, content: bytes) -> None:
        """Write a file, whole or not at all."""
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
        """Copy the run of that name into ``out``; nothing is copied where there is no such run.

        Raises:
            InputError: it cannot be read, or ``out`` not be written.
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
            raise InputError(f"--storage {self.uri}: {_one_line(error)}") from None


class Mirror:
    """Keeps a run directory's copy in ``storage`` up to date for as long as the context lasts, from a thread.

    A snapshot copies the files that have changed since the last one, each as it was at one moment; whatever mixture of
    them is there when a machine is lost, a resumed search makes whole. Storage that fails is tried again; ``say`` tells
    of it.
    """

    def __init__(self, run: Path, storage: Storage, say: Callable[[str], None]) -> None:
        self._run = run
        self._storage = storage
        self._target = f"{storage.folder}/{run.name}"
        self._say = say
        self._copied: dict[PurePosixPath, tuple[int, int]] = {}
        self._is_failing = False
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="mirror", daemon=True)

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
        self._say(f"{self._storage.uri} has not all of the run; --resume {self._run.name} copies the rest")

    def snapshot(self) -> bool:
        """Copy what has changed; return whether all of it is there now."""
        try:
            self._copy()
        except OSError as error:
            if not self._is_failing:
                self._say(f"{self._storage.uri} fails: {_one_line(error)}; trying again")
            self._is_failing = True
            return False
        if self._is_failing:
            self._say(f"{self._storage.uri} is up to date again")
        self._is_failing = False
        return True

    def _keep(self) -> None:
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
            except FileNotFoundError:  # such as a checkpoint that was replaced meanwhile
                present.pop(name, None)
                continue
            self._storage.write(f"{self._target}/{name}", content)
            self._copied[name] = present[name]
        for name in self._copied.keys() - present.keys():
            files.delete_file(f"{self._target}/{name}")
            del self._copied[name]


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
