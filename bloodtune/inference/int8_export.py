"""int8 form of an exported ONNX model, calibrated on photographs.

The packages of the extra ``onnx`` are optional, so they are imported inside the functions that need them.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bloodtune.errors import InputError
from bloodtune.inference.differential import Prediction
from bloodtune.inference.predictor import Image, Predictor

LEAST, MOST = 32, 512  # photographs to calibrate with; of more, these are drawn

DIFFERING_SHARE = 0.02  # of the photographs, at most, may get another class

# Layers with weights, and what computes on their outputs as int8. Normalization and the mean over the views stay float.
_WEIGHTED = ("Conv", "Gemm", "MatMul")
_QUANTIZED = (*_WEIGHTED, "Relu", "Add", "MaxPool", "AveragePool", "GlobalAveragePool", "ReduceMean")

_BATCH = 32


@dataclass(frozen=True)
class Quantized:
    """An int8 model, and how it differs from the float32 one on the ``photographs`` that calibrated it.

    ``differing`` of them get another class. ``difference`` is the largest difference of a probability.
    """

    content: bytes
    photographs: int
    differing: int
    difference: float


def choose_calibration(
    predictor: Predictor, images: Iterable[Image], say: Callable[[str], None], crop: int | None = None
) -> list[Prediction]:
    """Return float32 predictions, with pixels, of the images that calibrate: all, or ``MOST`` drawn with a fixed seed.

    ``say`` gets a line if some of them cannot be read.

    Raises:
        InputError: fewer than ``LEAST`` of them can be read.
    """
    found = list(images)
    rows = np.sort(np.random.default_rng(0).permutation(len(found))[:MOST])
    results = list(predictor.predict((found[row] for row in rows), crop=crop, preview=1))
    read = [result for result in results if isinstance(result, Prediction)]
    if len(read) < len(results):
        say(f"predict: {len(results) - len(read)} of {len(results)} photographs cannot be read, and are left out")
    if len(read) < LEAST:
        raise InputError(f"--int8: {len(read)} photographs can be read; allowed: {LEAST} and more")
    return read


def quantize(content: bytes, calibration: Sequence[Prediction]) -> Quantized:
    """Return an int8 form of an ONNX model of ``export_onnx``.

    Its metadata add the precision, the number of photographs, and how it differs on them from the float32 model.
    Weights are int8 with a scale per channel, values uint8 with the range of the calibration (static quantization, QDQ:
    Jacob et al., 2018). The first layer with weights stays float32, so that probabilities change by a few per cent.

    Raises:
        InputError: more than ``DIFFERING_SHARE`` of the calibration images get another class.
    """
    images = np.stack([one.tile for one in calibration if one.tile is not None])
    made = _calibrated(content, images)
    expected, found = np.stack([one.probabilities for one in calibration]), run_onnx(made, images)
    differing = int((found.argmax(1) != expected.argmax(1)).sum())
    if differing > DIFFERING_SHARE * len(images):
        share = f"{differing} of {len(images)} photographs get another class in int8"
        raise InputError(f"--int8: {share}; allowed: {DIFFERING_SHARE:.0%}. Export without --int8")
    difference = float(np.abs(found - expected).max())
    return Quantized(_described(made, len(images), differing, difference), len(images), differing, difference)


def _calibrated(content: bytes, images: np.ndarray) -> bytes:
    import onnx
    from onnxruntime import quantization

    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "float32.onnx", Path(folder) / "int8.onnx"
        source.write_bytes(content)
        logging.disable(logging.WARNING)  # it advises a step that changes nothing here
        try:
            quantization.quantize_static(
                source,
                target,
                _reader(quantization.CalibrationDataReader, images),
                quant_format=quantization.QuantFormat.QDQ,
                per_channel=True,
                weight_type=quantization.QuantType.QInt8,
                activation_type=quantization.QuantType.QUInt8,
                op_types_to_quantize=list(_QUANTIZED),
                nodes_to_exclude=_first_layers(onnx.load_model_from_string(content).graph),
            )
        finally:
            logging.disable(logging.NOTSET)
        return target.read_bytes()


def _described(content: bytes, photographs: int, differing: int, difference: float) -> bytes:
    import onnx

    model = onnx.load_model_from_string(content)
    found = {entry.key: entry.value for entry in model.metadata_props}
    added = {
        "precision": "int8",
        "calibration_photographs": str(photographs),
        "calibration_differing_share": repr(differing / photographs),
        "calibration_largest_difference": repr(difference),
    }
    onnx.helper.set_model_props(model, found | added)
    described: bytes = model.SerializeToString()
    return described


def _reader(base: Any, images: np.ndarray) -> Any:
    # onnxruntime asks for a subclass, and it may not be installed when this module is imported.
    batches = _batches(images)

    class Reader(base):  # type: ignore[misc]
        def get_next(self) -> dict[str, np.ndarray] | None:
            batch = next(batches, None)
            return None if batch is None else {"images": batch}

    return Reader()


def _first_layers(graph: Any) -> list[str]:
    # The layers with weights that compute on the image: one, or one per view.
    after: set[str] = set()  # names of values that such a layer has computed on
    first = []
    for node in graph.node:
        if not after.isdisjoint(node.input):
            after.update(node.output)
        elif node.op_type in _WEIGHTED:
            first.append(node.name)
            after.update(node.output)
    return first


def run_onnx(content: bytes, images: np.ndarray) -> np.ndarray:
    """Return what an exported model finds on a CPU: the probabilities (N, K) of images, uint8 (N, H, W, C)."""
    import onnxruntime

    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    return np.concatenate([session.run(None, {"images": batch})[0] for batch in _batches(images)])


def _batches(images: np.ndarray) -> Iterator[np.ndarray]:
    return (images[start : start + _BATCH] for start in range(0, len(images), _BATCH))
