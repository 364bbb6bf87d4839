"""What is recorded and what is replayed, with a GPU that is played by lists."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import pytest
import torch

from bloodtune.graphs import WARM_CALLS, Replayed
from bloodtune.stopwatch import Stopwatch
from bloodtune.training import DeviceSplits, Training
from engine_fixtures import make_configuration, make_split


class Recorder:
    """Stands for torch.cuda: what is done while a graph is recorded is not done but kept for its replay."""

    def __init__(self) -> None:
        self.recording: list[Callable[[], object]] | None = None
        self.replays = 0

    def do(self, action: Callable[[], object]) -> None:
        if self.recording is None:
            action()
        else:
            self.recording.append(action)

    def graph_class(self) -> type:
        recorder = self

        class Graph:
            def __init__(self) -> None:
                self.actions: list[Callable[[], object]] = []
                self.generators: list[torch.Generator] = []

            def register_generator_state(self, generator: torch.Generator) -> None:
                self.generators.append(generator)

            def replay(self) -> None:
                recorder.replays += 1
                assert len(self.generators) == 1
                for action in self.actions:
                    action()

        return Graph

    @contextlib.contextmanager
    def graph(self, graph: object) -> Iterator[None]:
        self.recording = graph.actions  # type: ignore[attr-defined]
        yield
        self.recording = None


class Stream:
    def wait_stream(self, other: Stream) -> None:
        pass


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    recorder = Recorder()
    monkeypatch.setattr(torch.cuda, "CUDAGraph", recorder.graph_class())
    monkeypatch.setattr(torch.cuda, "graph", recorder.graph)
    monkeypatch.setattr(torch.cuda, "Stream", Stream)
    monkeypatch.setattr(torch.cuda, "current_stream", Stream)
    monkeypatch.setattr(torch.cuda, "stream", lambda stream: contextlib.nullcontext())
    return recorder


def test_every_call_takes_effect_once_whether_recorded_or_not(recorder: Recorder) -> None:
    total = torch.zeros(())
    add = Replayed(lambda values: recorder.do(lambda: total.add_(values.sum())), torch.Generator())
    for call in range(10):
        add(torch.full((4,), float(call)))
    assert total == 4 * sum(range(10))
    assert recorder.replays == 10 - WARM_CALLS


def test_each_shape_has_a_record_of_its_own(recorder: Recorder) -> None:
    seen: list[tuple[int, float]] = []
    note = Replayed(lambda rows, plan: recorder.do(lambda: seen.append((len(rows), plan[0].item()))), torch.Generator())
    expected = []
    for call in range(2 * (WARM_CALLS + 2)):
        size = (3, 5)[call % 2]
        note(torch.zeros(size), torch.tensor([float(call)]))
        expected.append((size, float(call)))
    assert seen == expected
    assert recorder.replays == 4


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("family", ["mlnn", "cnn", "lightweight", "residual"])
def test_on_a_gpu_a_replayed_step_does_what_a_taken_one_does(family: str) -> None:
    splits = DeviceSplits.load(make_split(200, seed=1), make_split(60, seed=2), "cuda")
    # Augmented and averaged, so that draws and rates must differ from replay to replay; the last batch is smaller.
    changes = {"dihedral": True, "shift": 2, "stain": 0.1, "cutout": 4, "ema": 0.1, "schedule": "cosine"}
    configuration = make_configuration(family, **changes)
    losses = []
    for watch in (Stopwatch(), Stopwatch(on=True)):
        training = Training(configuration, splits, max_epochs=9, seed=0, watch=watch)
        losses.append([training.run_epoch().train_loss for _ in range(9)])
    replayed, taken = losses
    assert replayed == pytest.approx(taken, rel=0.02)
