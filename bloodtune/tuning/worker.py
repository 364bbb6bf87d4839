"""The worker that Ray Tune drives: it keeps torch and the data from one trial to the next."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ray import tune

from bloodtune.data.folds import cut_splits
from bloodtune.errors import describe
from bloodtune.run.best_model import ModelFiles
from bloodtune.run.checkpoints import Checkpoint
from bloodtune.space.recipe import Asha
from bloodtune.training.numerics import FLOAT32, Numerics
from bloodtune.training.phase_timer import Stopwatch

if TYPE_CHECKING:
    import numpy as np

    from bloodtune.data.npz import Split
    from bloodtune.training.cross_validation import FoldedTraining
    from bloodtune.training.trainer import Training

# Seconds between two reports of a worker, which also reports at every rung.
REPORT_SECONDS = 2.0


class WarmWorker(tune.Trainable):  # type: ignore[misc]
    """Train one configuration after another. A report has the epochs since the last report, and sometimes a checkpoint.

    At a rung it always has one, because the trial may pause there.

    A loss that is not finite, or an exception, ends the trial with the key ``failure`` in its last report. The worker
    lives on: ``max_failures`` would train the same trial again. On a GPU, a worker that had an exception ends at its
    next trial. With the key ``retry`` the exception may come from recorded steps: the trial may succeed without them.
    """

    def setup(
        self,
        config: dict[str, Any],
        *,
        train: Split,
        val: Split,
        asha: Asha,
        device: str,
        checkpoint_every: float,
        card: Mapping[str, Any],
        numerics: Numerics = FLOAT32,
        profile: bool = False,
        folds: np.ndarray | None = None,
    ) -> None:
        """Put the splits on ``device`` and start the first trial; checkpoints come every ``checkpoint_every`` seconds.

        ``card`` has what the cards of all models share, such as class names. With ``profile`` reports have the key
        ``parts``: seconds by phase. With ``folds``, those of ``fold_images``, a trial trains one network per fold.
        """
        self._watch = Stopwatch(on=profile)
        self._watch.enter("load")
        self._asha, self._device, self._numerics, self._card = asha, device, numerics, card
        self._checkpoint_every, self._broken, self._is_lost = checkpoint_every, "", False
        try:
            # Imported here so that the driver, which reads this module too, never loads torch.
            import torch

            from bloodtune.training.device_splits import DeviceSplits
            from bloodtune.training.process_setup import prepare_process

            prepare_process(device)
            self._splits = [DeviceSplits.load(*pair, device) for pair in cut_splits(train, val, folds)]
            if device != "cpu":
                self._watch.wait = torch.cuda.synchronize
        except Exception as error:
            # Reported with the first trial. Tune would start another worker for each trial, and fail each of them.
            self._broken = describe(error) + ("; --gpus-per-trial 0 trains on CPUs" if device == "cuda" else "")
        self._training: Training | FoldedTraining | None = None
        self._watch.enter("start")
        self._begin(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Start on the next configuration in the same process."""
        if self._is_lost:
            raise RuntimeError("this process ends because of a GPU error in its previous trial")  # Tune moves the trial
        self._watch.rename("start")
        self._begin(new_config)
        if self._device == "cuda":
            import torch

            torch.cuda.empty_cache()  # the recorded steps of the previous trial
        return True

    def step(self) -> dict[str, Any]:
        """Train on to the next rung, to the last epoch, or for two seconds."""
        if self._broken:
            return {"done": True, "broken": self._broken}
        report = self._train()
        # We do not know yet whether the driver continues this trial or starts another; `reset_config` renames the
        # phase if it does.
        self._watch.enter("report")
        return report | {"parts": self._watch.take()} if self._watch.on else report

    def _train(self) -> dict[str, Any]:
        from bloodtune.training.trainer import DivergedError

        epochs = []
        try:
            if self._training is None:
                self._training = self._start()
            started = time.perf_counter()
            while True:
                epochs.append(self._training.run_epoch())
                epoch = epochs[-1].epoch
                if epoch >= self._asha.last_epoch or epoch in self._asha.rungs:
                    break
                if time.perf_counter() - started >= REPORT_SECONDS:
                    break
        except DivergedError as error:
            return self._report(epochs, failure=str(error))
        except Exception as error:
            return self._report(epochs, **self._explain(error))
        return self._report(epochs)

    def _explain(self, error: Exception) -> dict[str, Any]:
        text = describe(error)
        if self._device != "cuda":
            return {"failure": text}
        if "out of memory" in text:
            return {"failure": f"{text}; a larger --gpus-per-trial gives each trial more memory, and 0 trains on CPUs"}
        self._is_lost = True  # a CUDA error can leave the process unusable
        return {"failure": text, "retry": self._records_steps and len(self._splits) == 1}

    def _begin(self, config: dict[str, Any]) -> None:
        self._configuration = config["configuration"]
        self._seed = config["seed"]
        self._checkpoint = config["checkpoint"]
        getattr(self, "config", {}).pop("checkpoint", None)  # Tune sends its copy back with every report
        self._trial, self._to_beat, self._records_steps = config["trial"], config["to_beat"], config["record_steps"]
        self._saved = time.monotonic()
        self._training = None

    def _start(self) -> Training | FoldedTraining:
        training = self._make()
        if self._checkpoint is None:
            return training
        try:
            training.restore(self._checkpoint.state)
        except Exception:  # damage that its digest did not show: train from the first epoch again
            training = self._make()
        self._checkpoint = None
        return training

    def _make(self) -> Training | FoldedTraining:
        from bloodtune.training.cross_validation import FoldedTraining
        from bloodtune.training.trainer import Training

        options: dict[str, Any] = {"max_epochs": self._asha.max_epochs, "seed": self._seed}
        options |= {"numerics": self._numerics, "watch": self._watch}
        if len(self._splits) > 1:
            return FoldedTraining(self._configuration, self._splits, **options)
        return Training(self._configuration, self._splits[0], record_steps=self._records_steps, **options)

    def _report(self, epochs: list[Any], failure: str | None = None, **more: Any) -> dict[str, Any]:
        report: dict[str, Any] = {"epochs": epochs, "done": failure is not None, "failure": failure, **more}
        if self._training is not None:
            report |= {"parameters": self._training.parameters, "note": self._training.note}
        if epochs and not failure:
            report |= {"epoch": epochs[-1].epoch, "val_macro_f1": epochs[-1].val_macro_f1}
            report["done"] = epochs[-1].epoch >= self._asha.last_epoch
            report |= self._model(epochs)
        is_due = time.monotonic() - self._saved >= self._checkpoint_every or report.get("epoch") in self._asha.rungs
        if is_due and self._training is not None and not report["done"]:
            training = self._training
            report["checkpoint"] = Checkpoint(training.epoch, training.save(), training.parameters)
            self._saved = time.monotonic()
        return report

    def _model(self, epochs: list[Any]) -> dict[str, ModelFiles]:
        # A trial may leave this worker at a rung or at its last epoch. Its model is needed only if it is the best then.
        if any(epoch.val_macro_f1 > self._to_beat for epoch in epochs):
            self._to_beat = 0.0
        last = epochs[-1].epoch
        is_end = last in self._asha.rungs or last >= self._asha.last_epoch
        found = self._training.val_probabilities if self._training else None
        if self._training is None or found is None or self._to_beat or not is_end:
            return {}
        from bloodtune.inference.classifier import Classifier
        from bloodtune.inference.confidence import keep_threshold, kept_scores

        network, images = self._training.network, self._splits[0].train_images
        size, channels, precision = images.shape[1], images.shape[3], self._numerics.precision
        names = tuple(self._card["class_names"])
        classifier = Classifier(network, self._configuration, names, size, channels, precision)
        # Probabilities of the validation after this epoch: predicting again over eight views would take seconds.
        probabilities, labels = found.cpu().numpy(), self._training.val_labels.cpu().numpy()
        threshold = keep_threshold(probabilities, labels)
        search = {"trial": self._trial, "epoch": last} | kept_scores(probabilities, labels, threshold)
        if len(self._splits) > 1:
            search["folds"] = len(self._splits)
        card = {"label": f"trial {self._trial}", "seed": self._seed, "parameters": self._training.parameters}
        return {"model": ModelFiles(classifier.files(**self._card, **card, threshold=threshold, search=search))}
