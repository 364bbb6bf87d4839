"""What is recorded and what is replayed, with a GPU that is played by lists."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import pytest
import torch

from bloodtune.graphs import WARM_CALLS, Replayed


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
