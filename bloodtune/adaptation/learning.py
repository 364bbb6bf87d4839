"""Learning from corrections in the background: an adaptation in a process of its own, its progress and its scores."""

from __future__ import annotations

import itertools
import json
import re
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bloodtune.errors import InputError, one_line
from bloodtune.inference.corrections import LEAST_OF_A_CLASS, Corrections, enough, lacking
from bloodtune.inference.default_model import CARD
from bloodtune.inference.differential import Prediction, wilson
from bloodtune.inference.evaluation import Evaluation
from bloodtune.inference.predictor import Image, Predictor

COMMAND = (sys.executable, "-m", "bloodtune.adapt")
LEARNED, MODELS = "learning.csv", "models"  # in the folder of corrections: what is learned from, and the new models
_PROGRESS = re.compile(r"(\d+) % of the training done")
_SECONDS = 5  # for a process to end before it is killed
_NOTES = (
    "Each picture was predicted by a network that had not seen it, and of so few pictures the interval is wide.",
    "Corrections are often what the old model got wrong: on all cells it is better than here, and the new model's gain "
    "is smaller. Score both with evaluate on other cells.",
)


class Learning:
    """One adaptation at a time. It always starts from the same model, which stays as it is.

    Args:
        corrections: what to learn from; new models are written into this folder.
        folder: of the model.
        predictor: the model.
        command: the program, to which the arguments of ``bloodtune.adapt`` are added.
    """

    def __init__(
        self, corrections: Corrections, folder: Path, predictor: Predictor, command: Sequence[str] = COMMAND
    ) -> None:
        self.corrections, self._folder, self._predictor, self._command = corrections, folder, predictor, command
        self._lock = threading.Lock()
        self._process: subprocess.Popen[str] | None = None
        self._state: dict[str, Any] = {"state": "idle"}

    def state(self) -> dict[str, Any]:
        """Return a JSON object: ``state`` is idle, running, ready, failed or used.

        Running: ``percent`` of the training done, and ``seconds`` left, None if unknown. Failed: ``error``. Ready:
        ``scores`` of both models on the ``images``, ``notes``, and the ``folder`` of the new model.
        """
        return dict(self._state)

    def start(self) -> None:
        """Start an adaptation to the corrections as they are now.

        Raises:
            InputError: there are too few corrections, or one is running.
        """
        labels = self.corrections.labels()
        if missing := lacking(labels):
            raise InputError(missing)
        with self._lock:
            if self._process:
                raise InputError("the last learning has not ended")
            learned, out = enough(labels), self._next_folder()
            table = self.corrections.write(LEARNED, learned).absolute()
            files = [
                str(table),
                "--model",
                str(self._folder.absolute()),
                "--out",
                str(out),
                "--skip-unreadable",
                "--quick",
            ]
            process = subprocess.Popen(
                [*self._command, *files],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                encoding="utf-8",
                errors="replace",
            )
            self._process, self._state = process, {"state": "running", "percent": 0, "seconds": None}
        threading.Thread(target=self._follow, args=(process, learned, out), daemon=True).start()

    def stop(self) -> None:
        """End a running adaptation, and drop a model that nobody has accepted."""
        with self._lock:
            process, self._process, self._state = self._process, None, {"state": "idle"}
        if process:
            process.terminate()
            try:
                process.wait(_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def accept(self) -> Predictor:
        """Return the new model.

        Raises:
            InputError: there is none.
        """
        with self._lock:
            if self._state["state"] != "ready":
                raise InputError("there is no new model")
            folder = self._state["folder"]
            predictor = Predictor.load(folder)
            self._state = {"state": "used", "folder": folder}
        return predictor

    def _next_folder(self) -> Path:
        folder = self.corrections.folder.absolute() / MODELS
        return next(place for number in itertools.count(1) if not (place := folder / str(number)).exists())

    def _follow(self, process: subprocess.Popen[str], labels: Mapping[str, str], out: Path) -> None:
        assert process.stderr is not None
        last, began = "", 0.0
        with process.stderr:
            for line in process.stderr:
                if found := _PROGRESS.search(line):
                    percent, now = int(found[1]), time.monotonic()
                    began = began if percent else now
                    left = (now - began) / percent * (100 - percent) if percent else None
                    self._set(process, {"state": "running", "percent": percent, "seconds": left})
                last = one_line(line) if line.strip() else last
        code = process.wait()
        error = last.removeprefix("adapt: ") or f"adapt ended with code {code}"
        try:
            state = {"state": "failed", "error": error} if code else self._judge(labels, out)
        except (InputError, OSError, ValueError) as failure:
            state = {"state": "failed", "error": one_line(failure)}
        self._set(process, state, ended=True)

    def _set(self, process: subprocess.Popen[str], state: dict[str, Any], ended: bool = False) -> None:
        with self._lock:
            if self._process is process:  # else it was stopped
                self._state, self._process = state, None if ended else process

    def _judge(self, labels: Mapping[str, str], out: Path) -> dict[str, Any]:
        card = json.loads((out / CARD).read_text(encoding="utf-8"))
        images, new = card["data"]["split_sizes"]["train"], card["used_val"]
        old = _score(self._predictor, self.corrections.folder, labels)
        scores = [
            {"model": "new model, pictures held out", **_row(new["accuracy"], new["macro_f1"], images)},
            {"model": "old model, the same pictures", **_row(*old)},
        ]
        return {
            "state": "ready",
            "images": images,
            "scores": scores,
            "notes": [*self._notes(card["class_names"])],
            "folder": str(out),
        }

    def _notes(self, class_names: Sequence[str]) -> list[str]:
        lost = [name for name in self._predictor.class_names if name not in class_names]
        notes = [*_NOTES]
        if lost:
            few = f"fewer than {LEAST_OF_A_CLASS} corrections"
            notes.insert(0, f"The new model does not know {', '.join(lost)}: {few}. Such cells would be miscounted.")
        if "adapted" in self._predictor.card:
            notes.append(
                "The old model was adapted, too: if these pictures were in its training, its score is too good."
            )
        return notes


def _score(predictor: Predictor, folder: Path, labels: Mapping[str, str]) -> tuple[float, float, int]:
    """Return accuracy, macro-F1 and number of the pictures; a class that the model does not know counts as an error."""
    names = tuple(dict.fromkeys((*predictor.class_names, *labels.values())))
    found = predictor.predict([Image(name, folder / name) for name in labels])
    known = [one for one in found if isinstance(one, Prediction)]
    probabilities = np.zeros((len(known), len(names)))
    probabilities[:, : len(predictor.class_names)] = [one.probabilities for one in known]
    true = np.array([names.index(labels[one.source]) for one in known])
    scores = Evaluation(names, true, probabilities, 0.0, Counter()).scores
    accuracy, macro_f1 = scores["accuracy"], scores["macro_f1"]
    assert accuracy and macro_f1
    return accuracy.value, macro_f1.value, len(known)


def _row(accuracy: float, macro_f1: float, images: int) -> dict[str, str]:
    low, high = (100 * bound for bound in wilson(round(accuracy * images), images))
    return {
        "accuracy": f"{100 * accuracy:.1f}",
        "interval": f"{low:.1f}–{high:.1f}",
        "macro_f1": f"{100 * macro_f1:.1f}",
    }
