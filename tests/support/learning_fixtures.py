"""A stand-in for `adapt`: it says its progress, waits for a file, and copies a model that is there."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

from model_fixtures import make_model

_PROGRAM = """
import pathlib, shutil, sys, time
home, flags = pathlib.Path(sys.argv[1]), sys.argv[2:]
(home / "table.csv").write_bytes(pathlib.Path(flags[0]).read_bytes())
print("adapt: a note", file=sys.stderr)
for percent in (0, 40):
    print(f"adapt: {percent} % of the training done", file=sys.stderr, flush=True)
    time.sleep(0.1)
while not (home / "go").exists():
    time.sleep(0.02)
if (home / "go").read_text():
    sys.exit("adapt: " + (home / "go").read_text())
shutil.copytree(home / "model", flags[flags.index("--out") + 1])
"""


def stand_in(home: Path, class_names: tuple[str, ...]) -> list[str]:
    """Return a command that waits for ``home / "go"``: a text there is its error, else it copies a model."""
    data = {"title": "mine", "split_sizes": {"train": 20, "val": 0, "test": 0}}
    scores = {"accuracy": 0.9, "macro_f1": 0.8}
    make_model(home / "model", class_names=class_names, data=data, used_val=scores)
    (home / "adapt.py").write_text(_PROGRAM)
    return [sys.executable, "-S", str(home / "adapt.py"), str(home)]


def wait_for(condition: Callable[[], object], seconds: float = 30) -> None:
    """Wait until a condition is true."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)
