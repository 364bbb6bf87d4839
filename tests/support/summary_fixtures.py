"""Invented contenders and runs for the tests of the summary: right in shape and order, trained by nobody."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bloodtune.data.medmnist import OFFICIAL, class_names
from bloodtune.data.npz import Split
from bloodtune.run.directory import BEST, PROVENANCE, RunDirectory
from bloodtune.run.records import COMPLETE, FAILED, PRUNED, EpochRecord, Proposal, TrialRecord
from bloodtune.space.configuration import Configuration
from bloodtune.space.recipe_file import BOOK, load_enqueued
from bloodtune.tuning.retrained_models import Contender, Retraining, Speed, TestedContender
from contender_labels import FOUND, PUBLISHED
from model_choice import choose
from published import load_papers
from scores import measure
from summary_data import SearchRecords, Summary

CLASS_NAMES = class_names(OFFICIAL)
TEST_COUNTS = (244, 624, 311, 579, 243, 284, 666, 470)
MAX_EPOCHS, RUNGS = 27, (3, 9)

_SGD = {"optimizer": "sgd", "learning_rate": 0.01, "momentum": 0.9, "nesterov": False}
_MLNN = {"family": "mlnn", "hidden_layers": 2, "hidden_size": 1180, "dropout": 0.2}
_CNN = {"family": "cnn", "width": 32, "dropout": 0.2}
_RESIDUAL = {"family": "residual", "width": 32, "schedule": "one_cycle", "dihedral": True}
_PARAMETERS = {"mlnn": 4_179_568, "cnn": 422_600, "lightweight": 217_000, "residual": 489_000}
_SPEEDS = {"mlnn": 71_000.0, "cnn": 14_600.0, "lightweight": 4_600.0, "residual": 13_300.0}
# Logit by which the truth leads: scores in the order of the papers.
_LEAD = {"mlnn": 2.6, "cnn": 3.4, "lightweight": 3.4, "residual": 4.6}


def published_configurations() -> dict[str, Configuration]:
    """Return the nine published configurations by label, in the papers' order."""
    enqueued = {entry.label: entry.configuration for entry in load_enqueued(BOOK / "papers.toml")}
    return {label: enqueued[label] for label in load_papers().results}


def fake_contenders(
    classes: int = 8, images: int = 400, seed: int = 0
) -> tuple[list[TestedContender], np.ndarray, list[str]]:
    """Return eleven contenders with three seeds each, the test labels (images,) and the class names.

    With 8 classes the labels have about the official class shares, each class at least twice.
    """
    generator = np.random.default_rng(seed)
    shares = np.array(TEST_COUNTS if classes == 8 else [1] * classes, dtype=float)
    shares /= shares.sum()
    labels = np.concatenate([np.arange(classes).repeat(2), generator.choice(classes, images - 2 * classes, p=shares)])
    generator.shuffle(labels)
    names = list(CLASS_NAMES) if classes == 8 else [f"class {index}" for index in range(classes)]
    difficulty = generator.normal(size=(images, classes))
    tested = []
    for label, configuration in published_configurations().items():
        tested.append(_tested(label, PUBLISHED, configuration, labels, difficulty, generator))
    for label, extra in (("search #12", {}), ("search #17", {"width": 24})):
        found = _configuration(_RESIDUAL | _SGD | extra, loss="label_smoothing", label_smoothing=0.1)
        tested.append(_tested(label, FOUND, found, labels, difficulty, generator))
    return tested, labels, names


def make_summary(
    run: RunDirectory,
    tested: Sequence[TestedContender],
    labels: np.ndarray,
    names: Sequence[str],
    control: RunDirectory | None = None,
    resamples: int = 20,
) -> Summary:
    """Return the summary of a run and of contenders tested on random images with these labels."""
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (len(labels), 28, 28, 3), dtype=np.uint8)
    return Summary(
        search=SearchRecords.read(run),
        control=SearchRecords.read(control) if control else None,
        rungs=RUNGS,
        class_names=tuple(names),
        train=Split(images[:20], labels[:20]),
        test=Split(images, labels),
        tested=tuple(tested),
        measured={one.contender.label: measure(one, labels, generator, resamples) for one in tested},
        speeds={one.contender.label: fake_speed(one.contender) for one in tested},
        choices=choose([one.contender for one in tested]),
    )


def fake_speed(contender: Contender) -> Speed:
    """Return a speed that follows from family and augmentation, the same at every call."""
    views = 8 if contender.configuration.dihedral else 1
    return Speed(_SPEEDS[contender.configuration.family] / views, views, 5, "Some CPU")


def fake_provenance(synthetic: bool = False, class_names: tuple[str, ...] = CLASS_NAMES) -> dict[str, Any]:
    """Return a provenance as a search leaves it behind."""
    return {
        "command": "python -m bloodtune.search --budget 20",
        "seed": 0,
        "versions": {"python": "3.11.7", "bloodtune": "0.1.0", "torch": "2.13.0"},
        "git_commit": "0123456789abcdef0123456789abcdef01234567",
        "data": {
            "title": "synthetic" if synthetic else "bloodmnist_rebuilt",
            "source": "synthetic" if synthetic else "/data/bloodmnist_rebuilt.npz",
            "md5": "00112233445566778899aabbccddeeff",
            "synthetic": synthetic,
            "split_sizes": {"train": 11959, "val": 1712, "test": 3421},
            "audit": {"train": 1, "val": 0, "test": 0, "train_val": 0, "train_test": 2, "val_test": 0},
            "class_names": list(class_names),
            "class_counts": {
                "train": [852, 2181, 1085, 2026, 849, 993, 2330, 1643],
                "val": [122, 312, 155, 290, 122, 143, 333, 235],
                "test": list(TEST_COUNTS),
            },
        },
        "devices": {"processor": "Some CPU", "cpus": 2.0, "gpus": 0.0, "accelerators": []},
        "started": "2026-01-01T10:00:00+00:00",
        "ended": "2026-01-01T10:21:00+00:00",
        "epochs_spent": 288,
        "device_seconds": 2310.5,
        "wall_seconds": 1260.0,
        "budget": 20,
        "max_epochs": MAX_EPOCHS,
        "recipe": "All four families; TPE proposes",
        "workers": 2,
    }


def fake_run(path: Path, trials: int = 20, seed: int = 0, synthetic: bool = False) -> RunDirectory:
    """Write a run of ``trials`` trials at ``path``: the nine published ones first, then those of the sampler.

    Trials 2, 7, 12 and 17 ran to the last epoch, trial 10 and each tenth after it failed, the others were
    pruned at epoch 3 or 9.
    """
    generator = np.random.default_rng(seed)
    run = RunDirectory.create(path.parent, path.name, f"max_epochs = {MAX_EPOCHS}\nrungs = {list(RUNGS)}\n")
    published = list(published_configurations().items())
    for trial in range(trials):
        label, configuration = published[trial] if trial < 9 else ("", _sampled(generator, trial))
        run.append_proposal(Proposal(trial, label, configuration))
        state = COMPLETE if trial in (2, 7, 12, 17) else FAILED if trial % 10 == 0 and trial else PRUNED
        epochs = {COMPLETE: MAX_EPOCHS, FAILED: 0}.get(state, RUNGS[trial % 2])
        curve = _curve(epochs, _lead(configuration, generator), generator)
        run.append_epochs(trial, (EpochRecord(*row) for row in curve.itertuples(index=False)))
        best = int(curve.val_macro_f1.argmax()) if epochs else None
        run.append_trial(
            TrialRecord(
                trial=trial,
                state=state,
                epochs=epochs,
                val_macro_f1=float(curve.val_macro_f1.iloc[-1]) if epochs else None,
                best_val_macro_f1=float(curve.val_macro_f1.max()) if epochs else None,
                best_epoch=None if best is None else best + 1,
                val_accuracy=float(curve.val_accuracy.iloc[-1]) if epochs else None,
                train_seconds=float(curve.seconds.sum()),
                parameters=_PARAMETERS[configuration.family],
                started="2026-01-01T10:00:00+00:00",
                retries=0,
                label=label,
                message="loss is nan in epoch 1" if state == FAILED else "",
                configuration=configuration,
            )
        )
    _write_json_files(run, synthetic)
    return run


def _write_json_files(run: RunDirectory, synthetic: bool) -> None:
    records = run.trials()
    if records:
        top = max(records, key=lambda record: record.best_val_macro_f1 or 0.0)
        run.write_json(BEST, {"trial": top.trial, "best_val_macro_f1": top.best_val_macro_f1})
    spent = {"budget": len(records), "epochs_spent": sum(record.epochs for record in records)}
    run.write_json(PROVENANCE, fake_provenance(synthetic) | spent)


def _configuration(fields: dict[str, Any], **more: Any) -> Configuration:
    return Configuration.from_mapping(fields | more)


def _sampled(generator: np.random.Generator, trial: int) -> Configuration:
    shape = (_RESIDUAL, _RESIDUAL, _CNN, _MLNN)[trial % 4]
    rate = float(10 ** generator.uniform(-3, -0.5))
    momentum = float(generator.uniform(0.5, 0.99))
    optimizer: dict[str, Any] = {"optimizer": "adamw", "learning_rate": rate / 10}
    if trial % 3:
        optimizer = {"optimizer": "sgd", "learning_rate": rate, "momentum": momentum, "nesterov": True}
    batch_size = int(generator.choice([64, 128, 256]))
    return _configuration(shape | optimizer | {"dropout": float(generator.uniform(0, 0.5))}, batch_size=batch_size)


def _lead(configuration: Configuration, generator: np.random.Generator) -> float:
    return _LEAD[configuration.family] + float(generator.normal(scale=0.1))


def _curve(epochs: int, lead: float, generator: np.random.Generator) -> pd.DataFrame:
    epoch = np.arange(1, epochs + 1)
    ceiling = 1 - 0.5 / 2**lead
    accuracy = ceiling * (1 - 0.5 * np.exp(-epoch / 3)) - generator.uniform(0, 0.01, epochs)
    loss = 2.0 * np.exp(-epoch / 4) + 0.05
    return pd.DataFrame(
        {
            "epoch": epoch,
            "train_loss": loss,
            "val_loss": loss + 0.1 * (1 - ceiling) * epoch / 10 + generator.uniform(0, 0.05, epochs),
            "val_accuracy": accuracy,
            "val_macro_f1": accuracy - 0.01,
            "seconds": generator.uniform(1.5, 2.0, epochs),
        }
    )


def _tested(
    label: str,
    origin: str,
    configuration: Configuration,
    labels: np.ndarray,
    difficulty: np.ndarray,
    generator: np.random.Generator,
) -> TestedContender:
    retrainings, probabilities = [], []
    for seed in range(3):
        lead = _lead(configuration, generator)
        curve = _curve(10, lead, generator)
        best = int(curve.val_macro_f1.argmax())
        retrainings.append(
            Retraining(
                seed=seed,
                epochs=len(curve),
                best_epoch=best + 1,
                val_macro_f1=float(curve.val_macro_f1[best]),
                val_accuracy=float(curve.val_accuracy[best]),
                train_seconds=float(curve.seconds.sum()),
                parameters=_PARAMETERS[configuration.family],
                curve=curve,
                model=Path(f"models/{label}-{seed}.safetensors"),
            )
        )
        logits = difficulty + 0.5 * generator.normal(size=difficulty.shape)
        logits[np.arange(len(labels)), labels] += lead
        exponentials = np.exp(logits)
        probabilities.append(exponentials / exponentials.sum(axis=1, keepdims=True))
    searched = max(retraining.val_macro_f1 for retraining in retrainings) + 0.002
    contender = Contender(label, origin, configuration, MAX_EPOCHS, tuple(retrainings), searched)
    return TestedContender(contender, np.stack(probabilities).astype(np.float32))
