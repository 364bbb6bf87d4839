"""A stand-in for macOS and Windows: commands in a Python without the names that those systems lack.

    python other_system.py '[["bloodtune.predict", "FOLDER"], ...]'

runs the commands one after the other and exits with the first code that is not 0.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
import threading
import urllib.request
from pathlib import Path

import waitress

NAMES = {
    os: "sched_getaffinity sched_setaffinity getloadavg fork forkpty statvfs sysconf "
    "killpg setsid getpgid mkfifo chown fchown posix_fadvise",
    signal: "SIGKILL SIGHUP SIGUSR1 SIGUSR2 SIGALRM alarm setitimer pthread_sigmask",
}
MODULES = ("fcntl", "resource", "termios", "pwd", "grp", "tty", "pty")


def take_names_away() -> None:
    """Delete what Windows lacks; macOS lacks a part of it."""
    for module, names in NAMES.items():
        for name in names.split():
            delattr(module, name)
    for name in MODULES:
        sys.modules[name] = None  # type: ignore[assignment]


def serve(model: str) -> int:
    """Start the page, as `python -m bloodtune.serve` does, and read it once."""
    from bloodtune.inference.predictor import Predictor
    from bloodtune.serve import create_app

    server = waitress.create_server(create_app(Predictor.load(model)), host="127.0.0.1", port=0)
    threading.Thread(target=server.run, daemon=True).start()
    with urllib.request.urlopen(f"http://127.0.0.1:{server.effective_port}") as answer:
        return 0 if "Drop photographs or folders here" in answer.read().decode() else 1


def draw(folder: str) -> int:
    """Write the report of an invented search with all its tables and figures."""
    from report_fixtures import write

    write(Path(folder))
    return 0


if __name__ == "__main__":
    take_names_away()
    own = {"serve": serve, "draw": draw}
    for name, *arguments in json.loads(sys.argv[1]):
        code = own[name](*arguments) if name in own else importlib.import_module(name).main(arguments)
        if code:
            sys.exit(code)
