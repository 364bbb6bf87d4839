"""The training loop of one configuration: epochs, validation, save and restore."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch.nn import functional
from torch.optim.swa_utils import update_bn

from bloodtune.run.records import EpochRecord
from bloodtune.space.configuration import Configuration
from bloodtune.training import metrics
from bloodtune.training.augmentation import draw_batch, mix_batch, validation_views
from bloodtune.training.cuda_graphs import Recorder
from bloodtune.training.device_splits import DeviceSplits
from bloodtune.training.losses import Teacher, build_loss, distillation
from bloodtune.training.models.cpu_layers import lay_out
from bloodtune.training.numerics import FLOAT32, Numerics
from bloodtune.training.optimizers import WeightAverage, build_optimizer, schedule_factor
from bloodtune.training.packed_state import pack, unpack
from bloodtune.training.phase_timer import Stopwatch
from bloodtune.training.prediction import predict
from bloodtune.training.starting_network import build_starting_network

# Training batches over which batch norm's statistics are recomputed after an epoch (docs/experiments.md).
NORM_BATCHES = 16


class DivergedError(ArithmeticError):
    """Raised if the loss is no longer finite; the message names the epoch."""


def score_epoch(
    epoch: int, train_loss: float, probabilities: torch.Tensor, labels: torch.Tensor, started: float
) -> EpochRecord:
    """Return the record of an epoch that began at ``started``, in the seconds of ``time.perf_counter``.

    ``probabilities`` (N, K) are those of the validation images, whose ``labels`` are (N,).

    Raises:
        DivergedError: the validation loss is not finite.
    """
    val_loss = functional.nll_loss(probabilities.clamp_min(1e-12).log(), labels).item()
    if not math.isfinite(val_loss):
        raise DivergedError(f"validation loss is {val_loss} in epoch {epoch}")
    predicted = probabilities.argmax(1).cpu().numpy()
    matrix = metrics.confusion_matrix(labels.cpu().numpy(), predicted, probabilities.shape[1])
    return EpochRecord(
        epoch=epoch,
        train_loss=train_loss,
        val_loss=val_loss,
        val_accuracy=float(metrics.accuracy(matrix)),
        val_macro_f1=float(metrics.macro_f1(matrix)),
        seconds=time.perf_counter() - started,
    )


class Training:
    """The training of one configuration; call ``run_epoch`` up to ``max_epochs`` times.

    On a CPU the same seed, numerics and number of threads give the same records. A GPU may add numbers in another
    order.

    Args:
        configuration: what to train.
        splits: the data, on the device that trains.
        max_epochs: where the learning-rate schedule ends.
        seed: of the initial weights, the batches, the augmentation and dropout.
        numerics: precision and layers.
        recompute_norms: recompute batch norm's statistics after each epoch. Running statistics lag behind weights that
            move at an undiminished learning rate. A configuration with a weight average does not need this.
        watch: measures augmentation, steps and validation separately.
        record_steps: whether a GPU records its steps. A process may record one training at a time.
        teacher: gives the probabilities of each augmented batch, which the network learns beside the labels. On a GPU
            it must not synchronize with the host.
        start: weights of a network of this configuration to start from, as its ``state_dict``. None: drawn with
            ``seed``.
        kept: the number of first layers with weights that keep theirs; batch norm's statistics change in all layers.

    Attributes:
        network: the network that is validated and kept: the weight average, if the configuration has one.
        epoch: the number of finished epochs.
        val_probabilities: the class probabilities (N, K) of the last validation; None before the first.
    """

    val_probabilities: torch.Tensor | None = None

    def __init__(
        self,
        configuration: Configuration,
        splits: DeviceSplits,
        *,
        max_epochs: int,
        seed: int,
        numerics: Numerics = FLOAT32,
        recompute_norms: bool = False,
        watch: Stopwatch | None = None,
        record_steps: bool = True,
        teacher: Teacher | None = None,
        start: Mapping[str, torch.Tensor] | None = None,
        kept: int = 0,
    ) -> None:
        torch.manual_seed(seed)
        self.configuration, self._splits = configuration, splits
        self.max_epochs, self.epoch = max_epochs, 0
        self._generator = torch.Generator(splits.device).manual_seed(seed)
        self._trained = build_starting_network(configuration, splits, start, kept)
        self._numerics = numerics
        self._is_plain = numerics.is_plain(configuration.family)
        lay_out(self._trained, plain=self._is_plain)
        self._average = WeightAverage(self._trained, configuration.ema) if configuration.ema else None
        self.network = self._average.network if self._average else self._trained
        self._recomputes_norms = recompute_norms and self._average is None
        self._optimizer = build_optimizer(configuration, self._trained, fused=not self._is_plain)
        self._scaler = numerics.scaler(splits.device)
        self._loss, self._teacher = build_loss(configuration, splits.class_counts), teacher
        self._batch_size = min(configuration.batch_size, len(splits.train_labels))
        self._steps_per_epoch = math.ceil(len(splits.train_labels) / self._batch_size)
        self._total_loss = torch.zeros((), device=splits.device)
        self._watch = watch or Stopwatch()
        # A recorded step cannot be timed by part, so with a running stopwatch steps are not recorded.
        is_recorded = record_steps and splits.device.type == "cuda" and not self._watch.on
        self._recorder = Recorder(self._generator) if is_recorded else None

    @property
    def parameters(self) -> int:
        """The number of trained parameters."""
        return sum(parameter.numel() for parameter in self._trained.parameters())

    @property
    def note(self) -> str:
        """A sentence for the user on why this training is slower than usual; empty if it is not."""
        if not (self._recorder and self._recorder.failure):
            return ""
        return f"training steps cannot be recorded as a CUDA graph ({self._recorder.failure}); they run as they are"

    @property
    def networks(self) -> list[torch.nn.Module]:
        """The networks that are validated and kept: one."""
        return [self.network]

    @property
    def val_labels(self) -> torch.Tensor:
        """The labels (N,) of the images that are validated."""
        return self._splits.val_labels

    def save(self) -> bytes:
        """Return everything that the next epoch depends on, packed."""
        return pack(self.state())

    def restore(self, state: bytes) -> None:
        """Continue from the state that ``save`` returned for the same configuration; no code in it is executed.

        Raises:
            Exception: PyTorch's own, if the state is damaged or belongs to another network. The training cannot be used
                afterwards.
        """
        self.load_state(unpack(state))

    def state(self) -> dict[str, Any]:
        """Return the state that ``save`` packs."""
        return {
            "epoch": self.epoch,
            "parts": [part.state_dict() for part in self._parts],
            "random": [source.get_state() for source in self._random],
        }

    def load_state(self, saved: dict[str, Any]) -> None:
        """Continue from a result of ``state``, as ``restore`` does."""
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
        # Batches and augmentation draw from our generator, dropout from the device's default generator.
        device = self._splits.device
        default = torch.cuda.default_generators[device.index or 0] if device.type == "cuda" else torch.default_generator
        return [self._generator, default]

    def run_epoch(self) -> EpochRecord:
        """Train for one pass over the training split, then validate.

        Raises:
            DivergedError: the training or validation loss is not finite.
        """
        started = time.perf_counter()
        train_loss = self.train_epoch()
        return score_epoch(self.epoch, train_loss, self.validate(), self.val_labels, started)

    def validate(self) -> torch.Tensor:
        """Return ``val_probabilities`` after this epoch."""
        self._watch.enter("validate")
        self.recompute_norms()
        self.val_probabilities = predict(
            self.network, self._splits.val_images, self.configuration, validation_views, self._numerics
        )
        return self.val_probabilities

    def train_epoch(self) -> float:
        """Train for one pass over the training split without validation; return the mean loss.

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
            if self._splits.read:
                self._splits.read(rows.tolist())
            if self._recorder:
                self._recorder.run(self._step, rows, plan)
            else:
                self._step(rows, plan)
        loss = float(self._total_loss) / count
        if not math.isfinite(loss):
            raise DivergedError(f"training loss is {loss} in epoch {self.epoch}")
        return loss

    def _plan_epoch(self) -> Sequence[Any]:
        # One pair per step: the learning rate, and the share of the new weights in their average.
        first = (self.epoch - 1) * self._steps_per_epoch
        last = self.max_epochs * self._steps_per_epoch
        plan = []
        for step in range(first, first + self._steps_per_epoch):
            factor = schedule_factor(self.configuration.schedule, step / last)
            share = self._average.share(step + 1) if self._average else 0.0
            plan.append((factor * self.configuration.learning_rate, share))
        # A recorded step reads both from the GPU's memory.
        return torch.tensor(plan, device=self._splits.device).unbind() if self._recorder else plan

    def _step(self, rows: torch.Tensor, plan: Any) -> None:
        # Everything runs on the device without synchronization, so that a GPU can record the step and replay it.
        splits = self._splits
        self._watch.enter("augment")
        images = draw_batch(splits.train_images, rows, self.configuration, self._generator)
        images, share = mix_batch(images, self.configuration, self._generator)
        if self._is_plain:
            images = images.contiguous()  # NCHW: convolutions keep the order of their input
        self._watch.enter("forward and backward")
        with self._numerics.autocast(splits.device):
            logits = self._trained(images)
        logits, labels = logits.float(), splits.train_labels[rows]
        loss = self._loss(logits, labels)
        if share is not None:
            loss = torch.lerp(loss, self._loss(logits, labels.flip(0)), share)
        if self._teacher:
            with torch.no_grad():
                taught = self._teacher(images)
            loss = distillation(loss, logits, taught)
        self._optimizer.zero_grad()
        self._scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        for group in self._optimizer.param_groups:
            group["lr"] = plan[0]
        self._scaler.step(self._optimizer)
        self._scaler.update()
        if self._average:
            self._average.update(plan[1])
        self._total_loss += loss.detach() * len(rows)

    def recompute_norms(self) -> None:
        """Recompute batch norm's statistics, if this training does so."""
        if not self._recomputes_norms:
            return
        images, device = self._splits.train_images, self._splits.device
        rows = torch.randperm(len(images), generator=torch.Generator(device).manual_seed(0), device=device)
        batches = torch.split(rows, self._batch_size)[:NORM_BATCHES]
        with self._numerics.autocast(device):
            update_bn((images[batch].permute(0, 3, 1, 2) for batch in batches), self.network)
