"""What is retrained, in which order, and what is kept of it; the trainings themselves are played."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from bloodtune.data.dataset import load_dataset
from bloodtune.tuning import retraining as module
from bloodtune.tuning.contender import Contender
from bloodtune.tuning.retraining import Candidate, Workers, retrain
from contenders import FOUND, PUBLISHED
from engine_fixtures import SGD, make_configuration
from run_fixtures import write_data

# From the longest epochs to the shortest.
SLOW, MIDDLE, FAST = (
    make_configuration(family, **SGD, loss="cross_entropy") for family in ("lightweight", "residual", "mlnn")
)


def candidate(label: str, configuration: Any, epochs: int = 10, origin: str = FOUND) -> Candidate:
    return Candidate(label, origin, configuration, epochs)


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """Play the workers: the families and epochs that they were given, in order. Learning rates above 1 diverge."""
    order: list[tuple[str, int]] = []

    def play(actor: type, shared: object, submit: object, waiting: list[Any], *_: object) -> Iterator[Any]:
        while waiting:
            order.append((waiting[0].configuration.family, waiting[0].epochs))
            yield waiting.pop(0)

    def keep(job: Any) -> None:
        job.folder.mkdir(parents=True)
        result = {"epochs": 1, "best_epoch": 1, "val_macro_f1": 0.5, "val_accuracy": 0.5, "train_seconds": 1.0}
        diverged = job.configuration.learning_rate > 1
        result = {"failure": "loss is inf"} if diverged else result | {"parameters": job.epochs}
        (job.folder / "result.json").write_text(json.dumps(result))
        (job.folder / "curve.csv").write_text("epoch\n1\n")

    monkeypatch.setattr(module, "_map", play)
    monkeypatch.setattr(module, "_keep", keep)
    monkeypatch.setattr(module.ray, "put", lambda value: value)
    return order


@pytest.fixture
def train(tmp_path: Path) -> Callable[..., list[Contender]]:
    dataset = load_dataset(str(write_data(tmp_path)))

    def run(
        first: Sequence[Candidate],
        beside: Sequence[Candidate] = (),
        then: Callable[[list[Contender]], Sequence[Candidate]] = lambda done: [],
        seeds: int = 1,
    ) -> list[Contender]:
        folder = tmp_path / "retrained"
        workers = Workers(count=2, gpus=0.0)
        return retrain(first, beside, then, dataset, folder, seeds=seeds, workers=workers, advance=lambda *_: None)

    return run


def test_what_follows_from_the_first_comes_next_and_the_rest_fills_up(
    trained: list[tuple[str, int]], train: Callable[..., list[Contender]]
) -> None:
    asked = []

    def longer(done: list[Contender]) -> list[Candidate]:
        asked.append([contender.label for contender in done])
        return [candidate("longer", MIDDLE, 20)]

    first = [candidate("fast", FAST), candidate("middle", MIDDLE)]
    done = train(first, [candidate("published", FAST, 30, PUBLISHED), candidate("slow", SLOW, 30)], longer, seeds=2)
    assert trained == [
        *(("residual", 10), ("residual", 10), ("mlnn", 10), ("mlnn", 10)),
        *(("residual", 20), ("residual", 20)),
        *(("lightweight", 30), ("lightweight", 30), ("mlnn", 30), ("mlnn", 30)),
    ], "the longest first, in each of the three"
    assert [contender.label for contender in done] == ["fast", "middle", "published", "slow", "longer"]
    assert [len({r.seed for r in contender.retrainings}) for contender in done] == [2] * 5
    assert asked == [["fast", "middle"]], "once, when all of them are there"
    again = train(first, [candidate("published", FAST, 30, PUBLISHED), candidate("slow", SLOW, 30)], longer, seeds=2)
    assert len(trained) == 10, "the second call finds them all"
    assert [c.retrainings[0].model for c in again] == [c.retrainings[0].model for c in done]


def test_configurations_that_are_one_function_share_their_trainings(
    trained: list[tuple[str, int]], train: Callable[..., list[Contender]]
) -> None:
    twin = make_configuration("mlnn", **SGD, loss="nll")
    one, two = train([], [candidate("one", FAST), candidate("two", twin)])
    assert len(trained) == 1
    assert one.retrainings[0].model == two.retrainings[0].model


def test_a_training_that_diverged_in_its_first_epoch_leaves_its_candidate_out(
    trained: list[tuple[str, int]], train: Callable[..., list[Contender]]
) -> None:
    wild = make_configuration("mlnn", **SGD | {"learning_rate": 5.0})
    followed = []
    done = train([candidate("wild", wild), candidate("tame", FAST)], then=lambda done: followed.append(done) or [])
    assert [contender.label for contender in done] == ["tame"]
    assert [contender.label for contender in followed[0]] == ["tame"]
