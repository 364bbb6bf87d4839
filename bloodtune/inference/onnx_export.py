"""ONNX export of a trained model, with its preprocessing and a model card.

The packages of the extra ``onnx`` are optional, so they are imported inside the functions that need them.
"""

from __future__ import annotations

import contextlib
import io
import json
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jinja2 import UndefinedError

from bloodtune import __version__
from bloodtune.errors import InputError
from bloodtune.files import replace
from bloodtune.inference.default_model import CARD
from bloodtune.inference.differential import Prediction
from bloodtune.inference.int8_export import Quantized, quantize, run_onnx
from bloodtune.inference.predictor import Predictor
from bloodtune.inference.templates import render

MODEL, INT8_MODEL, MODEL_CARD = "model.onnx", "model.int8.onnx", "MODEL_CARD.md"

TOLERANCE = 1e-3  # largest allowed difference between a probability of the exported model and of the predictor


def export_onnx(predictor: Predictor, folder: Path, calibration: Sequence[Prediction] = ()) -> list[Path]:
    """Write ``model.onnx`` and ``MODEL_CARD.md`` into ``folder``, with ``calibration`` also ``model.int8.onnx``.

    A model's input is ``images``, uint8 (N, H, W, C) with any N; its output is ``probabilities``, float32 (N, K).
    The model includes normalization and the mean over the dihedral group. Its metadata hold class names and threshold.

    Args:
        predictor: the model.
        folder: is made if it does not exist.
        calibration: what ``int8_export.choose_calibration`` returns.

    Returns:
        The paths of the written files.

    Raises:
        InputError: the packages of the extra ``onnx`` are not installed, the exported model gives other probabilities
            than the predictor, or its int8 form other classes.
    """
    check_installed()
    model_card(predictor)  # refuses a model that lacks an entry
    content = _to_onnx(predictor)
    quantized = quantize(content, calibration) if calibration else None
    files = {MODEL: content, MODEL_CARD: model_card(predictor, quantized).encode()}
    if quantized:
        files[INT8_MODEL] = quantized.content
    folder.mkdir(parents=True, exist_ok=True)
    for name, made in files.items():
        replace(folder / name, made)
    if not quantized:
        (folder / INT8_MODEL).unlink(missing_ok=True)  # of an earlier export, which the new card does not describe
    return [folder / name for name in files]


def check_installed() -> None:
    """Raise an InputError if a package of the extra ``onnx`` is not installed."""
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401  # without it, torch's exporter fails with a traceback
    except ImportError as error:
        raise InputError(f"--export onnx: {error}; run pip install -c constraints.txt -e '.[onnx]'") from None


def _to_onnx(predictor: Predictor) -> bytes:
    import onnx

    images = _random_images(predictor, 5)
    with _quiet():
        program = torch.onnx.export(
            predictor.network.eval(),
            (torch.from_numpy(images[:2]),),
            input_names=["images"],
            output_names=["probabilities"],
            dynamic_shapes={"images": {0: torch.export.Dim("n")}},
            dynamo=True,
            verbose=False,
        )
    assert program is not None
    model = program.model_proto
    onnx.helper.set_model_props(model, _metadata(predictor))
    content: bytes = model.SerializeToString()
    _check_probabilities(content, predictor, images)
    return content


def model_card(predictor: Predictor, quantized: Quantized | None = None) -> str:
    """Return the model card as Markdown: data, scores, intended use, limits (Mitchell et al., 2019).

    ``quantized`` is the int8 form that is exported beside the model.

    Raises:
        InputError: the model's ``model.json`` lacks an entry that the card needs.
    """
    try:
        return render(
            "model_card.md.j2", predictor=predictor, card=predictor.card, quantized=quantized, version=__version__
        )
    except (UndefinedError, TypeError, ValueError) as error:
        raise InputError(f"{CARD} lacks an entry that the model card needs: {error}") from None


def _check_probabilities(content: bytes, predictor: Predictor, images: np.ndarray) -> None:
    difference = float(np.abs(run_onnx(content, images) - predictor.network.predict(images)).max())
    if difference > TOLERANCE:
        differ = f"exported and original probabilities differ by {difference:.2g}"
        raise InputError(f"--export onnx: {differ}; allowed: {TOLERANCE}")


def _metadata(predictor: Predictor) -> dict[str, str]:
    return {
        "class_names": json.dumps(predictor.class_names),
        "threshold": repr(predictor.threshold),
        "input": f"uint8 (N, {predictor.size}, {predictor.size}, {predictor.channels}), 0 to 255, RGB or grey",
        "output": "probabilities, mean over the eight views of the dihedral group",
        "bloodtune": __version__,
    }


def _random_images(predictor: Predictor, count: int) -> np.ndarray:
    shape = (count, predictor.size, predictor.size, predictor.channels)
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


@contextlib.contextmanager
def _quiet() -> Any:
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")  # torch warns of its own deprecated functions
        yield
