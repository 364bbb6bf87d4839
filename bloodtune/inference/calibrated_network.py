"""A trained network prepared for use: images to calibrated probabilities and features, the same on all machines."""

from __future__ import annotations

import copy
import itertools

import numpy as np
import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from bloodtune.inference.classifier import Classifier
from bloodtune.training.augmentation import dihedral_views
from bloodtune.training.models.cpu_layers import lay_out
from bloodtune.training.models.ensemble import Ensemble

_MOST_FEATURES = 2048  # a guard stores a matrix of features by features

BATCH = 64  # images: enough for the network's full speed at little memory


class Deployment(nn.Module):
    """A classifier prepared for use: uint8 images (N, H, W, C) to probabilities, float32 (N, K).

    Probabilities are the mean over the eight views of the dihedral group, in float32 on every processor, so that all
    machines give the same result. Batch norms are folded into the convolutions before them.

    A summary averages over 24 views if the network was trained with shifts. Here the gain is too small for three times
    the work. ``temperature`` calibrates the probabilities (``confidence.fit_temperature``). ``features`` is the number
    of features of an image (``examine``).
    """

    def __init__(self, classifier: Classifier, temperature: float = 1.0) -> None:
        super().__init__()
        self.temperature = temperature
        network = copy.deepcopy(classifier.network).cpu().eval()
        _fold_norms(network)
        lay_out(network, plain=True)  # Bloodtune's own pooling blocks other threads and cannot be exported to ONNX
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        members = list(network.networks) if isinstance(network, Ensemble) else [network]
        parts = [_without_head(member) for member in members]
        widths = [head.in_features if isinstance(head, nn.Linear) else len(classifier.class_names) for _, head in parts]
        if sum(widths) > _MOST_FEATURES:
            parts = [(member, nn.Identity()) for member in members]
            widths = [len(classifier.class_names)] * len(members)
        self.features = sum(widths)
        self.bodies, self.heads = map(nn.ModuleList, zip(*parts, strict=True))

    @property
    def logits(self) -> nn.Module:
        """The network from one view's pixels (N, C, H, W), 0 to 255, to logits (N, K)."""
        networks = [nn.Sequential(body, head) for body, head in zip(self.bodies, self.heads, strict=True)]
        return Ensemble(networks) if len(networks) > 1 else networks[0]

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return the probabilities of a batch."""
        return self._examine(images)[0]

    def predict(self, images: np.ndarray) -> np.ndarray:
        """Return the probabilities of any number of images, in batches."""
        return self.examine(images)[0]

    def examine(self, images: np.ndarray, rows: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Return the probabilities of all images, or of those with the numbers ``rows``, and features, float32 (N, D).

        The features are the inputs of the network's last linear layer, the mean over the views; those of an ensemble's
        networks, one after another. If there are too many, or a network of the user's own is no plain sequence with
        such a layer at its end, they are the logits.
        """
        with torch.inference_mode():
            taken = np.arange(len(images)) if rows is None else rows
            starts = range(0, max(1, len(taken)), BATCH)  # in parts, because the images may be mapped
            chunks = (torch.from_numpy(np.asarray(images[taken[start : start + BATCH]])) for start in starts)
            probabilities, features = zip(*map(self._examine, chunks), strict=True)
            return torch.cat(probabilities).numpy(), torch.cat(features).float().numpy()

    def _examine(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        views = dihedral_views(images.permute(0, 3, 1, 2))
        features = [torch.stack([body(view) for view in views]) for body in self.bodies]
        found = [head(seen).softmax(2).mean(0) for head, seen in zip(self.heads, features, strict=True)]
        mean = torch.stack(found).mean(0)
        if self.temperature != 1:
            mean = (mean.clamp_min(1e-12).log() / self.temperature).softmax(1)
        return mean, torch.cat([seen.mean(0) for seen in features], 1)


def _without_head(network: nn.Module) -> tuple[nn.Module, nn.Module]:
    # The network up to its last linear layer, and that layer. A subclass of Sequential may compute something else.
    if type(network) is nn.Sequential and type(last := network[-1]) is nn.Sequential:
        layers: list[nn.Module] = list(last)
        if layers and isinstance(layers[-1], nn.Linear):
            return nn.Sequential(*list(network)[:-1], *layers[:-1]), layers[-1]
    return network, nn.Identity()


def _fold_norms(network: nn.Module) -> None:
    for part in network.children():
        _fold_norms(part)
    if isinstance(network, nn.Sequential):
        for index, (first, second) in enumerate(itertools.pairwise(network)):
            if isinstance(first, nn.Conv2d) and isinstance(second, nn.BatchNorm2d):
                network[index], network[index + 1] = fuse_conv_bn_eval(first, second), nn.Identity()
