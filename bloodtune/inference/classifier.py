"""A trained network with its configuration and class names; saved as safetensors and JSON."""

from __future__ import annotations

import copy
import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import nn

from bloodtune.data.npz import SMALLEST
from bloodtune.errors import InputError, one_line
from bloodtune.files import parse_json
from bloodtune.inference.default_model import CARD
from bloodtune.space.configuration import Configuration
from bloodtune.space.families import is_own
from bloodtune.training.augmentation import prediction_views
from bloodtune.training.models import build_network
from bloodtune.training.models.ensemble import Ensemble
from bloodtune.training.numerics import PRECISIONS, Numerics
from bloodtune.training.prediction import predict

_LARGEST = 2048  # pixels of a side
_AT_ONCE = 1024  # images that are in memory; the others may be mapped

WEIGHTS = "model.safetensors"


@dataclass(frozen=True)
class Classifier:
    """A trained network with its configuration, classes and image format.

    ``network`` takes images (N, ``channels``, ``size``, ``size``) with values of 0 to 255; its first layer normalizes
    them. It may be an ``Ensemble`` of networks of the configuration. A prediction is the mean over the views of
    ``prediction_views``: 1 view, 8 with dihedral augmentation, 24 with dihedral augmentation and shifts. ``precision``
    is the precision of training and of prediction.
    """

    network: nn.Module
    configuration: Configuration
    class_names: tuple[str, ...]
    size: int
    channels: int
    precision: str = "float32"

    @property
    def views(self) -> int:
        """The number of views per image."""
        placeholder = torch.zeros(1, self.channels, self.size, self.size)
        return len(prediction_views(placeholder, self.configuration))

    def predict(self, images: np.ndarray) -> np.ndarray:
        """Return the class probabilities, float32 (N, K), of images, uint8 (N, H, W, C).

        Raises:
            InputError: the images differ from the training images in size, channels or data type.
        """
        expected = (self.size, self.size, self.channels)
        if images.dtype != np.uint8 or images.shape[1:] != expected:
            allowed = f"uint8 (N, {self.size}, {self.size}, {self.channels})"
            raise InputError(f"images {images.dtype} {images.shape}: this model takes {allowed}")
        device = next(self.network.parameters()).device
        # A model trained on a GPU predicts in float32 on a CPU without that precision.
        numerics = Numerics(self.precision).usable_on(device.type)
        parts = (images[start : start + _AT_ONCE] for start in range(0, max(1, len(images)), _AT_ONCE))
        found = [
            predict(self.network, torch.from_numpy(np.array(part)).to(device), self.configuration, numerics=numerics)
            for part in parts
        ]
        return torch.cat(found).cpu().numpy()

    def save(self, folder: Path, **card: Any) -> None:
        """Write the ``files`` into a folder, the card last."""
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in self.files(**card).items():
            (folder / name).write_bytes(content)

    def rounded(self) -> Classifier:
        """Return a copy whose weights are those that ``files`` stores in half precision."""
        network = copy.deepcopy(self.network)
        network.load_state_dict({name: _halve(tensor) for name, tensor in network.state_dict().items()})
        return dataclasses.replace(self, network=network)

    def files(self, *, half: bool = False, **card: Any) -> dict[str, bytes]:
        """Return ``model.safetensors`` and ``model.json``, which has the additional entries ``card``.

        With ``half`` the matrices of weights are stored in half precision; ``load`` makes them float32 again.
        """
        state = self.network.state_dict().items()
        weights = {name: (_halve(tensor) if half else tensor).contiguous() for name, tensor in state}
        content = {
            "configuration": self.configuration.to_mapping(),
            "class_names": list(self.class_names),
            "size": self.size,
            "channels": self.channels,
            "precision": self.precision,
            "preprocessing": "pixels of 0 to 255, RGB or grey; normalization is part of the network",
            "views": self.views,
        }
        if isinstance(self.network, Ensemble):
            content["members"] = len(self.network.networks)
        return {WEIGHTS: save(weights), CARD: (json.dumps(content | card, indent=2) + "\n").encode()}

    @classmethod
    def load(cls, folder: Path, device: str = "cpu") -> Classifier:
        """Read a saved classifier; no code in its files is executed.

        A network of the user's own (family ``package.module:function``) is built by importing and calling its function.

        Raises:
            InputError: ``folder`` holds no model, a file is damaged, or the weights do not fit the configuration.
        """
        file = folder / CARD
        try:
            card = parse_json(file.read_bytes())
            file = folder / WEIGHTS
            weights = load_file(file)
        except OSError as error:
            raise InputError(f"no model in {folder}: {error}") from None
        except (ValueError, SafetensorError) as error:
            raise InputError(f"{file} is damaged: {one_line(error)}") from None
        try:
            classifier = cls.build(card, weights)
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            reason = f"{error} is missing" if isinstance(error, KeyError) else str(error)
            raise InputError(f"{folder / CARD} does not describe a model: {reason}") from None
        except RuntimeError:
            raise InputError(f"{folder / WEIGHTS} does not fit the configuration in {CARD}") from None
        classifier.network.to(device)
        return classifier

    @classmethod
    def build(cls, card: Mapping[str, Any], weights: Mapping[str, torch.Tensor]) -> Classifier:
        """Build a classifier on the CPU from the entries of ``model.json`` and the weights of its network.

        Raises:
            KeyError, TypeError, ValueError, OverflowError: ``card`` does not describe a model.
            RuntimeError: the weights do not fit the configuration.
        """
        configuration = Configuration.from_mapping(card["configuration"])
        class_names, size, channels = tuple(card["class_names"]), int(card["size"]), int(card["channels"])
        precision = card.get("precision", "float32")
        if precision not in PRECISIONS:
            raise ValueError(f"precision {precision!r}; allowed: {', '.join(PRECISIONS)}")
        if not SMALLEST <= size <= _LARGEST or channels not in (1, 3):
            raise ValueError(f"size {size}, channels {channels}; allowed: {SMALLEST} to {_LARGEST} pixels, 1 or 3")
        members = card.get("members", 1)
        if not isinstance(members, int) or not 1 <= members <= max(1, len(weights)):
            raise ValueError(f"members {members!r}; allowed: whole numbers from 1, each with weights")

        def build() -> nn.Module:
            pixel, classes = torch.ones(channels), len(class_names)
            networks = [
                build_network(configuration, size=size, classes=classes, mean=pixel, deviation=pixel)
                for _ in range(members)
            ]
            return Ensemble(networks) if members > 1 else networks[0]

        if not is_own(configuration.family):
            with torch.device("meta"):  # without memory, which a damaged card could ask for in any amount
                planned = build().state_dict()
            if {name: t.shape for name, t in planned.items()} != {name: t.shape for name, t in weights.items()}:
                raise RuntimeError("the weights have other names or shapes")
        network = build()
        network.load_state_dict(weights)
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        return cls(network, configuration, class_names, size, channels, precision)


def _halve(tensor: torch.Tensor) -> torch.Tensor:
    # Vectors stay as they are: they are few, and among them are variances that half precision may not hold.
    return tensor.half() if tensor.is_floating_point() and tensor.ndim > 1 else tensor
