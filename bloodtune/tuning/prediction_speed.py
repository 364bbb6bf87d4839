"""The prediction speed of retrained models: measured once per model and processor, and kept beside the model."""

from __future__ import annotations

import contextlib
import json
import statistics
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from bloodtune.files import parse_json, replace
from bloodtune.inference.classifier import Classifier
from bloodtune.training.step_times import describe_chip
from bloodtune.tuning.retrained_models import Speed

SPEED = "speed.json"
IMAGES, ROUNDS = 32, 5


def prediction_speeds(models: Sequence[Path], images: np.ndarray) -> list[Speed]:
    """Return the speed of each model as ``Classifier.predict`` uses it, with its views and its precision, on one core.

    A speed is the median of ``ROUNDS`` predictions of ``IMAGES`` images, one model after the other. It counts the time
    that the core computes, so other programs slow it down little. A speed that this processor has measured before is
    read from the model's folder, so the same summary gives the same figures twice.

    Args:
        models: folders of models; a folder may come twice.
        images: uint8 (N, H, W, C); the first ones are used, several times if there are too few.
    """
    processor, batch = describe_chip(), np.resize(images[:IMAGES], (IMAGES, *images.shape[1:]))
    kept = {model: _read(model / SPEED, processor) for model in models}
    speeds = {model: speed for model, speed in kept.items() if speed}
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for model in kept.keys() - speeds.keys():
            speeds[model] = speed = _measure(Classifier.load(model), batch, processor)
            with contextlib.suppress(OSError):  # a complete run may be read-only; the next summary measures again
                replace(model / SPEED, (json.dumps(speed._asdict()) + "\n").encode())
    finally:
        torch.set_num_threads(threads)
    return [speeds[model] for model in models]


def _measure(classifier: Classifier, images: np.ndarray, processor: str) -> Speed:
    seconds = []
    for _ in range(1 + ROUNDS):  # libraries initialize in the first one
        started = time.thread_time()
        classifier.predict(images)
        seconds.append(time.thread_time() - started)
    return Speed(round(len(images) / statistics.median(seconds[1:]), 1), classifier.views, ROUNDS, processor)


def _read(file: Path, processor: str) -> Speed | None:
    # None if the file is missing or damaged, or another processor measured.
    try:
        speed = Speed(**parse_json(file.read_bytes()))
    except (OSError, ValueError, TypeError):
        return None
    return speed if speed.processor == processor else None
