"""Tables of other laboratories, read where they are: TaskSet, ImageNet (opda) and LCBench (YAHPO).

All have 27 points here, so that one rule fits all. TaskSet: 27 of the 51 points, evenly spaced. LCBench: 27 of the 52
epochs, evenly spaced. ImageNet: each training has its own length, 20 to 100 epochs, and point k is at k / 27 of it: an
"epoch" there is 1/27 of a training's own schedule, and seconds say what it costs.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution

from bloodtune.errors import InputError
from bloodtune.space.recipe import Asha, Recipe
from curves.spaces import PointSpace
from curves.surrogate import DRAWS, Answers, Rows
from curves.tables import LAST_EPOCH, mappings_of

TASKSET, IMAGENET, LCBENCH = "taskset.npz", "imagenet.npz", "lcbench"
CHANCE = 0.999  # error of a network that guesses one of 1,000 classes

# The settings of today's default search, without a space: a table brings its own.
RECIPE = Recipe("", "tpe", 10, Asha(LAST_EPOCH, 1, 3), (), (), "")

TASKSET_SPACE: dict[str, BaseDistribution] = {
    "learning_rate": FloatDistribution(1e-8, 10, log=True),
    "beta1_complement": FloatDistribution(1e-4, 1, log=True),
    "beta2_complement": FloatDistribution(1e-6, 1, log=True),
    "epsilon": FloatDistribution(1e-10, 1e3, log=True),
    "l1": FloatDistribution(1e-8, 10, log=True),
    "l2": FloatDistribution(1e-8, 10, log=True),
    "linear_decay": FloatDistribution(1e-7, 1e-4, log=True),
    "exponential_decay": FloatDistribution(1e-6, 1e-3, log=True),
}

IMAGENET_SPACE: dict[str, BaseDistribution] = {
    "epochs": IntDistribution(20, 100),
    "batch_size": IntDistribution(128, 1024, log=True),
    "lr": FloatDistribution(5e-3, 50, log=True),
    "peak_share": FloatDistribution(0, 0.8),
    "momentum": FloatDistribution(0.7, 0.9995),
    "weight_decay": FloatDistribution(1e-6, 1e-3, log=True),
    "label_smoothing": FloatDistribution(0, 0.5),
}


def open_arrays(folder: Path, name: str) -> dict[str, np.ndarray]:
    """Read the arrays of a file.

    Raises:
        InputError: the file is missing.
    """
    with np.load(_existing(folder / name)) as arrays:
        return {key: arrays[key] for key in arrays.files}


def _existing(file: Path) -> Path:
    if not file.is_file():
        raise InputError(f"{file} is missing; --foreign is the folder of {TASKSET}, {IMAGENET} and {LCBENCH}/")
    return file


def taskset_rows(folder: Path) -> dict[str, Rows]:
    """Return 12 tasks of 1,000 rows. A loss that is not finite, or above twice the untrained one, counts as that."""
    arrays = open_arrays(folder, TASKSET)
    points = np.rint(np.arange(1, LAST_EPOCH + 1) / LAST_EPOCH * (arrays["valid_loss"].shape[2] - 1)).astype(int)
    rows = {}
    for task, values, losses in zip(arrays["tasks"], arrays["configurations"], arrays["valid_loss"], strict=True):
        values = values.copy()
        values[:, 1:3] = np.maximum(1 - values[:, 1:3], 1e-6)  # Adam's betas are drawn as their distance from 1
        worst = 2 * float(np.nanmedian(losses[:, 0]))
        errors = np.minimum(np.nan_to_num(losses[:, points], nan=worst), worst).astype(float)
        rows[str(task).strip("_")] = Rows(mappings_of(list(TASKSET_SPACE), values), errors, np.ones(len(values)))
    return rows


def imagenet_rows(folder: Path) -> dict[str, Rows]:
    """Return AlexNet and ConvNeXt-T with 512 rows each; from the divergence of a training on, its error is chance."""
    arrays = open_arrays(folder, IMAGENET)
    rows = {}
    for task in ("alexnet", "convnext"):
        values, top_1, passed = (arrays[f"{task}_{name}"] for name in ("configurations", "top_1", "seconds"))
        lengths = values[:, 0].astype(int)
        points = np.ceil(lengths[:, None] * np.arange(1, LAST_EPOCH + 1) / LAST_EPOCH - 1e-9).astype(int) - 1
        errors = 1 - np.nan_to_num(np.take_along_axis(top_1, points, axis=1), nan=1 - CHANCE).astype(float)
        done = np.isfinite(passed).sum(axis=1)
        ends = np.nanmax(np.where(np.isfinite(passed), passed, 0), axis=1)
        seconds = np.where(done > 0, ends / np.maximum(done, 1) * lengths / LAST_EPOCH, np.nan)
        numbers = values.copy()
        numbers[:, 3] = values[:, 3] / lengths
        rows[task] = Rows(mappings_of(list(IMAGENET_SPACE), numbers), np.minimum(errors, CHANCE), seconds)
    return rows


BATCH = 250  # configurations; thousands at once take gigabytes
LCBENCH_EPOCHS = 52
LCBENCH_INPUTS = (
    "batch_size", "learning_rate", "momentum", "weight_decay", "num_layers", "max_units", "max_dropout",
)  # fmt: skip


class LcbenchSurrogate:
    """YAHPO's network for one task of LCBench. It has no noise: all trainings of a configuration are the same."""

    def __init__(self, folder: Path, task: str) -> None:
        """Raises ``InputError`` if the files are missing."""
        self._file = _existing(folder / LCBENCH / "model.onnx")
        encoding = json.loads((folder / LCBENCH / "encoding.json").read_text(encoding="utf-8"))
        self._task = int(encoding["OpenML_task_id"][task])
        self._session: Any = None

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the session, which cannot be pickled."""
        return self.__dict__ | {"_session": None}

    def answer(self, mappings: Sequence[Mapping[str, Any]]) -> Answers:
        """Return the curves of configurations."""
        if len(mappings) > BATCH:
            parts = [self.answer(mappings[start : start + BATCH]) for start in range(0, len(mappings), BATCH)]
            return Answers(*(np.concatenate(found) for found in zip(*map(dataclasses.astuple, parts), strict=True)))
        epochs = np.rint(np.arange(1, LAST_EPOCH + 1) * LCBENCH_EPOCHS / LAST_EPOCH)
        values = np.array([[mapping[name] for name in LCBENCH_INPUTS] for mapping in mappings], dtype=np.float32)
        inputs = np.column_stack([np.tile(epochs, len(values)), np.repeat(values, LAST_EPOCH, axis=0)])
        tasks = np.full((len(inputs), 1), self._task, dtype=np.int32)
        (outputs,) = self._open().run(None, {"x_cat": tasks, "x_cont": inputs.astype(np.float32)})
        outputs = outputs.reshape(len(values), LAST_EPOCH, -1).astype(float)
        errors = np.clip(1 - outputs[:, :, 1] / 100, 1e-3, 1)
        seconds = np.maximum(outputs[:, -1, 0], 1) / LAST_EPOCH
        return Answers(np.log(errors), np.zeros((len(values), DRAWS, LAST_EPOCH)), seconds)

    def _open(self) -> Any:
        if self._session is None:
            import onnxruntime

            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = options.inter_op_num_threads = 1
            options.enable_cpu_mem_arena = False
            self._session = onnxruntime.InferenceSession(str(self._file), options, providers=["CPUExecutionProvider"])
        return self._session


def lcbench_space(folder: Path) -> tuple[PointSpace, list[str]]:
    """Return the space of LCBench and its tasks: every fourth of the 34 in the file's order, from the third on.

    Raises:
        InputError: the file is missing.
    """
    file = _existing(folder / LCBENCH / "config_space.json")
    found = {entry["name"]: entry for entry in json.loads(file.read_text(encoding="utf-8"))["hyperparameters"]}
    spans: dict[str, BaseDistribution] = {}
    for name in LCBENCH_INPUTS:
        entry = found[name]
        kind = IntDistribution if entry["type"] == "uniform_int" else FloatDistribution
        spans[name] = kind(entry["lower"], entry["upper"], log=entry["log"])
    return PointSpace(spans), found["OpenML_task_id"]["choices"][2::4]
