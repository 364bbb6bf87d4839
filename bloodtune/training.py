"""One configuration trained on one device, an epoch at a time; no Ray and no Optuna."""

from __future__ import annotations

import ctypes
import io
import math
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional
from torch.optim.swa_utils import update_bn

from bloodtune import metrics
from bloodtune.augment import draw_batch, prediction_views, validation_views
from bloodtune.configuration import Configuration
from bloodtune.data import Split
from bloodtune.graphs import Recorder
from bloodtune.losses import build_loss
from bloodtune.models import build_network
from bloodtune.models.layers import lay_out
from bloodtune.numerics import FLOAT32, Numerics
from bloodtune.optimizers import WeightAverage, build_optimizer, schedule_factor
from bloodtune.records import EpochRecord
from bloodtune.stopwatch import Stopwatch

# Batches of training images over which batch norm's statistics are taken anew after an epoch (docs/experiments.md).
NORM_BATCHES = 16

# Images of a batch to validate or predict. On a CPU larger ones are slower: the activations leave its cache. A GPU
# waits for each kernel to be launched, so it gets as many pixels as 1,024 images of BloodMNIST have.
VALIDATION_BATCH = 256
_VALIDATION_PIXELS = 1024 * 28 * 28

# glibc's M_TRIM_THRESHOLD, M_TOP_PAD and M_MMAP_THRESHOLD (malloc.h), in bytes; the last one is the largest that all
# versions take.
_MALLOC = {-1: 2**31 - 1, -2: 2**28, -3: 2**25}


class DivergedError(ArithmeticError):
    """The loss is no longer finite; the message names the epoch."""


@dataclass(frozen=True)
class DeviceSplits:
    """Training and validation split as tensors on one device, uint8 images (N, H, W, C) and int64 labels (N,).

    ``mean`` and ``deviation`` (C,) are those of the training pixels on the scale 0 to 255; ``class_counts`` (K,)
    those of the training labels.
    """

    train_images: torch.Tensor
    train_labels: torch.Tensor
    val_images: torch.Tensor
    val_labels: torch.Tensor
    mean: torch.Tensor
    deviation: torch.Tensor
    class_counts: torch.Tensor

    @classmethod
    def load(cls, train: Split, val: Split, device: torch.device | str = "cpu") -> DeviceSplits:
        """Put the splits on ``device``; on the CPU the arrays are shared, not copied."""
        mean, deviation = _pixel_statistics(train.images)
        return cls(
            train_images=_to_device(train.images, device),
            train_labels=_to_device(train.labels, device),
            val_images=_to_device(val.images, device),
            val_labels=_to_device(val.labels, device),
            mean=torch.tensor(mean, dtype=torch.float32, device=device),
            deviation=torch.tensor(deviation, dtype=torch.float32, device=device),
            class_counts=torch.tensor(np.bincount(train.labels), device=device),
        )

    @property
    def device(self) -> torch.device:
        """The device that the tensors are on."""
        return self.train_images.device


class Training:
    """The training of one configuration: ``run_epoch`` until ``max_epochs``, which also sets the schedule's end.

    ``network`` is what is validated and kept: the weight average where the configuration asks for one. With
    ``settle_norms`` a network without one has batch norm's statistics taken anew after each epoch, as running ones lag
    behind weights that move at an undiminished rate. ``watch`` tells augmentation, steps and validation apart. On a
    CPU the same seed, numerics and number of threads give the same records; a GPU may add in another order.
    """

    def __init__(
        self,
        configuration: Configuration,
        splits: DeviceSplits,
        *,
        max_epochs: int,
        seed: int,
        numerics: Numerics = FLOAT32,
        settle_norms: bool = False,
        watch: Stopwatch | None = None,
    ) -> None:
        torch.manual_seed(seed)
        self.configuration = configuration
        self.max_epochs = max_epochs
        self.epoch = 0
        self._splits = splits
        self._generator = torch.Generator(splits.device).manual_seed(seed)
        self._trained = build_network(
            configuration,
            size=splits.train_images.shape[1],
            classes=len(splits.class_counts),
            mean=splits.mean,
            deviation=splits.deviation,
        ).to(splits.device)
        self._numerics = numerics
        self._is_plain = numerics.is_plain(configuration.family)
        lay_out(self._trained, plain=self._is_plain)
        self._average = WeightAverage(self._trained, configuration.ema) if configuration.ema else None
        self.network = self._average.network if self._average else self._trained
        self._settles = settle_norms and self._average is None
        self._optimizer = build_optimizer(configuration, self._trained, fused=not self._is_plain)
        self._scaler = numerics.scaler(splits.device)
        self._loss = build_loss(configuration, splits.class_counts)
        self._batch_size = min(configuration.batch_size, len(splits.train_labels))
        self._steps_per_epoch = math.ceil(len(splits.train_labels) / self._batch_size)
        self._total_loss = torch.zeros((), device=splits.device)
        self._watch = watch or Stopwatch()
        # Where the parts of a step are timed, it is taken apart, as without a GPU.
        is_recorded = splits.device.type == "cuda" and not self._watch.on
        self._recorder = Recorder(self._generator) if is_recorded else None

    @property
    def parameters(self) -> int:
        """Number of trained parameters."""
        return sum(parameter.numel() for parameter in self._trained.parameters())

    def save(self) -> bytes:
        """Return the state after the last epoch, all that the next one depends on, as ``torch.save`` writes it."""
        stream = io.BytesIO()
        torch.save(
            {
                "epoch": self.epoch,
                "parts": [part.state_dict() for part in self._parts],
                "random": [source.get_state() for source in self._random],
            },
            stream,
        )
        return stream.getvalue()

    def restore(self, state: bytes) -> None:
        """Go on from what ``save`` returned for the same configuration; nothing in it is executed.

        Raises:
            Exception: of PyTorch, if it is damaged or that of another network; this training is of no more use then.
        """
        saved = torch.load(io.BytesIO(state), map_location="cpu", weights_only=True)
        for part, known in zip(self._parts, saved["parts"], strict=True):
            part.load_state_dict(known)
        for source, known in zip(self._random, saved["random"], strict=True):
            source.set_state(known)
        self.epoch = saved["epoch"]

    @property
    def _parts(self) -> list[Any]:
        average = [self._average.network] if self._average else []
        scaler = [self._scaler] if self._scaler.is_enabled() else []
        return [self._trained, *average, self._optimizer, *scaler]

    @property
    def _random(self) -> list[torch.Generator]:
        # Batches and augmentation draw from the one of our own, dropout from the default one of its device.
        device = self._splits.device
        default = torch.cuda.default_generators[device.index or 0] if device.type == "cuda" else torch.default_generator
        return [self._generator, default]

    def run_epoch(self) -> EpochRecord:
        """Train for one pass over the training split and validate.

        Raises:
            DivergedError: the training or validation loss is not finite.
        """
        started = time.perf_counter()
        train_loss = self.train_epoch()
        self._watch.enter("validate")
        if self._settles:
            self._settle_norms()
        probabilities = predict(
            self.network, self._splits.val_images, self.configuration, validation_views, self._numerics
        )
        labels = self._splits.val_labels
        val_loss = functional.nll_loss(probabilities.clamp_min(1e-12).log(), labels).item()
        if not math.isfinite(val_loss):
            raise DivergedError(f"validation loss is {val_loss} in epoch {self.epoch}")
        matrix = metrics.confusion_matrix(
            labels.cpu().numpy(), probabilities.argmax(1).cpu().numpy(), len(self._splits.class_counts)
        )
        return EpochRecord(
            epoch=self.epoch,
            train_loss=train_loss,
            val_loss=val_loss,
            val_accuracy=float(metrics.accuracy(matrix)),
            val_macro_f1=float(metrics.macro_f1(matrix)),
            seconds=time.perf_counter() - started,
        )

    def train_epoch(self) -> float:
        """Train for one pass over the training split, without a validation; return the mean loss.

        Raises:
            DivergedError: the loss is not finite.
        """
        assert self.epoch < self.max_epochs, "the schedule has ended"
        self.epoch += 1
        count = len(self._splits.train_labels)
        self._trained.train()
        self._total_loss.zero_()
        order = torch.randperm(count, generator=self._generator, device=self._splits.device)
        for rows, plan in zip(torch.split(order, self._batch_size), self._plan_epoch(), strict=True):
            if self._recorder:
                self._recorder.run(self._step, rows, plan)
            else:
                self._step(rows, plan)
        loss = float(self._total_loss) / count
        if not math.isfinite(loss):
            raise DivergedError(f"training loss is {loss} in epoch {self.epoch}")
        return loss

    def _plan_epoch(self) -> Sequence[Any]:
        # Of each step the learning rate, and the share of the new weights in their average.
        first = (self.epoch - 1) * self._steps_per_epoch
        last = self.max_epochs * self._steps_per_epoch
        plan = []
        for step in range(first, first + self._steps_per_epoch):
            factor = schedule_factor(self.configuration.schedule, step / last)
            share = self._average.share(step + 1) if self._average else 0.0
            plan.append((factor * self.configuration.learning_rate, share))
        # A recorded step reads them on the GPU.
        return torch.tensor(plan, device=self._splits.device).unbind() if self._recorder else plan

    def _step(self, rows: torch.Tensor, plan: Any) -> None:
        # All on the device, and nothing that waits for it: a GPU records it once and replays it.
        splits = self._splits
        self._watch.enter("augment")
        images = draw_batch(splits.train_images, rows, self.configuration, self._generator)
        if self._is_plain:
            images = images.contiguous()  # NCHW: convolutions follow the order of their input
        self._watch.enter("forward and backward")
        with self._numerics.autocast(splits.device):
            logits = self._trained(images)
        loss = self._loss(logits.float(), splits.train_labels[rows])
        self._optimizer.zero_grad()
        self._scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        for group in self._optimizer.param_groups:
            group["lr"] = plan[0]
        self._scaler.step(self._optimizer)
        self._scaler.update()
        if self._average:
            self._average.update(plan[1])
        self._total_loss += loss.detach() * len(rows)

    def _settle_norms(self) -> None:
        images, device = self._splits.train_images, self._splits.device
        rows = torch.randperm(len(images), generator=torch.Generator(device).manual_seed(0), device=device)
        batches = torch.split(rows, self._batch_size)[:NORM_BATCHES]
        with self._numerics.autocast(device):
            update_bn((images[batch].permute(0, 3, 1, 2) for batch in batches), self.network)


@torch.no_grad()
def predict(
    network: nn.Module,
    images: torch.Tensor,
    configuration: Configuration | None = None,
    views: Callable[[torch.Tensor, Configuration], list[torch.Tensor]] = prediction_views,
    numerics: Numerics = FLOAT32,
) -> torch.Tensor:
    """Return class probabilities, float32 (N, K), of uint8 images (N, H, W, C) on the network's device.

    With the configuration of its training they are the mean over the ``views`` that suit it.
    """
    network.eval()
    batches = []
    on_gpu = _VALIDATION_PIXELS // math.prod(images.shape[1:3]) if images.is_cuda else 0
    for batch in torch.split(images, max(VALIDATION_BATCH, on_gpu)):
        pixels = batch.permute(0, 3, 1, 2)
        seen = views(pixels, configuration) if configuration else [pixels]
        with numerics.autocast(images.device):
            logits = [network(view) for view in seen]
        batches.append(torch.stack([one.float().softmax(1) for one in logits]).mean(0))
    return torch.cat(batches)


def use_one_core() -> None:
    """Make this process train on one thread, keep the memory that it frees, and round denormal numbers to zero.

    As many trainings as cores beat many threads a training, of which those of two would spin on one core. Memory that
    goes back to the system at each step and is mapped anew takes up to a fifth of it; Adam's averages of gradients
    that have vanished, which processors are slow with, double a late epoch of an MLNN (docs/experiments.md).
    """
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt:
        for option, value in _MALLOC.items():
            mallopt(option, value)


def _to_device(array: np.ndarray, device: torch.device | str) -> torch.Tensor:
    with warnings.catch_warnings():
        # Arrays from Ray's object store are read-only; nothing here writes to them.
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(array).to(device)


def _pixel_statistics(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    # From how often each of the 256 values occurs: exact, and no copy as floats.
    channels = _to_device(images, "cpu").flatten(0, 2).unbind(1)
    counts = torch.stack([torch.bincount(channel, minlength=256) for channel in channels]).numpy()
    values, pixels = np.arange(256), len(channels[0])
    mean = counts @ values / pixels
    return mean, np.sqrt(np.maximum(counts @ values**2 / pixels - mean**2, 1e-6))
