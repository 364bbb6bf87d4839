"""Recording and replay of training steps, with lists in place of a GPU."""

from __future__ import annotations

import contextlib
import itertools
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch

from bloodtune.training import cuda_graphs
from bloodtune.training.cuda_graphs import WARM_CALLS, Recorder
from bloodtune.training.device_splits import DeviceSplits
from bloodtune.training.phase_timer import Stopwatch
from bloodtune.training.trainer import Training
from engine_fixtures import make_configuration, make_split


class FakeCuda:
    """Stands for torch.cuda: what is done while a graph is recorded is not done but kept for its replay."""

    def __init__(self) -> None:
        self.recording: list[Callable[[], object]] | None = None
        self.replays = 0
        self.places: list[tuple[int, Stream]] = []
        self.broken: set[str] = set()  # where a recording fails: "begin", "body" or "end"
        self.here = Stream()

    def do(self, action: Callable[[], object]) -> None:
        if self.recording is None:
            action()
        else:
            self.recording.append(action)

    def graph_class(self) -> type:
        cuda = self

        class Graph:
            def __init__(self) -> None:
                self.actions: list[Callable[[], object]] = []
                self.generators: list[torch.Generator] = []

            def register_generator_state(self, generator: torch.Generator) -> None:
                self.generators.append(generator)

            def replay(self) -> None:
                cuda.replays += 1
                assert len(self.generators) == 1
                for action in self.actions:
                    action()

        return Graph

    @contextlib.contextmanager
    def graph(self, graph: object, *, pool: int, stream: Stream) -> Iterator[None]:
        self.places.append((pool, stream))
        self.here = stream  # as PyTorch, which leaves it so after a failure
        self.fail("begin")
        self.recording = graph.actions  # type: ignore[attr-defined]
        try:
            yield
        finally:
            self.recording = None
            self.fail("end")
        self.here = Stream()

    def fail(self, place: str) -> None:
        if place in self.broken:
            raise RuntimeError(f"CUDA error: not permitted\nwhen stream is capturing ({place})")


class Stream:
    def wait_stream(self, other: Stream) -> None:
        pass


class Generator:
    """A generator of a GPU, whose state can be replaced."""

    def __init__(self) -> None:
        self.state: object = "in a recording"

    def clone_state(self) -> str:
        return "before the recording"

    def graphsafe_set_state(self, state: object) -> None:
        self.state = state


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeCuda]:
    cuda = FakeCuda()
    monkeypatch.setattr(torch.cuda, "CUDAGraph", cuda.graph_class())
    monkeypatch.setattr(torch.cuda, "graph", cuda.graph)
    monkeypatch.setattr(torch.cuda, "graph_pool_handle", itertools.count().__next__)
    monkeypatch.setattr(torch.cuda, "Stream", Stream)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda: cuda.here)
    monkeypatch.setattr(torch.cuda, "set_stream", lambda stream: setattr(cuda, "here", stream))
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(torch.cuda, "default_generators", (Generator(),))
    monkeypatch.setattr(torch.cuda, "stream", lambda stream: contextlib.nullcontext())
    cuda_graphs._stream.cache_clear()
    yield cuda
    cuda_graphs._stream.cache_clear()


def test_every_call_takes_effect_once_whether_recorded_or_not(cuda: FakeCuda) -> None:
    total = torch.zeros(())
    recorder = Recorder(torch.Generator())
    for call in range(10):
        recorder.run(lambda values: cuda.do(lambda: total.add_(values.sum())), torch.full((4,), float(call)))
    assert total == 4 * sum(range(10))
    assert cuda.replays == 10 - WARM_CALLS


def test_each_shape_has_a_record_of_its_own(cuda: FakeCuda) -> None:
    seen: list[tuple[int, float]] = []
    expected = []
    recorder = Recorder(torch.Generator())

    def note(rows: torch.Tensor, plan: torch.Tensor) -> None:
        cuda.do(lambda: seen.append((len(rows), plan[0].item())))

    for call in range(2 * (WARM_CALLS + 2)):
        size = (3, 5)[call % 2]
        recorder.run(note, torch.zeros(size), torch.tensor([float(call)]))
        expected.append((size, float(call)))
    assert seen == expected
    assert cuda.replays == 4


def test_records_of_a_recorder_share_their_memory_and_all_of_a_process_one_stream(cuda: FakeCuda) -> None:
    for _ in range(2):
        recorder = Recorder(torch.Generator())
        for size in (3, 5) * (WARM_CALLS + 1):
            recorder.run(lambda values: None, torch.zeros(size))
    pools, streams = zip(*cuda.places, strict=True)
    assert pools == (0, 0, 1, 1)
    assert len(set(streams)) == 1


def test_a_record_keeps_nothing_of_its_owner_alive(cuda: FakeCuda) -> None:
    class Owner:
        def __init__(self) -> None:
            self.recorder = Recorder(torch.Generator())

        def step(self, values: torch.Tensor) -> None:
            values.add_(1)

    owner = Owner()
    for _ in range(WARM_CALLS + 2):
        owner.recorder.run(owner.step, torch.zeros(4))
    seen = weakref.ref(owner)
    del owner
    assert cuda.replays == 2 and seen() is None


@pytest.mark.parametrize("place", ["begin", "body", "end"])
def test_a_step_that_cannot_be_recorded_runs_as_it_is(cuda: FakeCuda, place: str) -> None:
    total, generator, before = torch.zeros(()), Generator(), cuda.here
    recorder = Recorder(generator)  # type: ignore[arg-type]
    cuda.broken = {place}

    def step(values: torch.Tensor) -> None:
        cuda.do(lambda: total.add_(values.sum()))
        if cuda.recording is not None:
            cuda.fail("body")

    for call in range(10):
        recorder.run(step, torch.full((4,), float(call)))
    assert total == 4 * sum(range(10)), "each call counts once"
    assert (cuda.replays, len(cuda.places)) == (0, 1), "it is not tried again"
    assert recorder.failure == f"RuntimeError: CUDA error: not permitted when stream is capturing ({place})"
    assert cuda.here is before, "the stream is that of before"
    assert {generator.state, torch.cuda.default_generators[0].state} == {"before the recording"}  # type: ignore[attr-defined]


def test_after_a_failed_recording_no_older_one_is_replayed(cuda: FakeCuda) -> None:
    recorder = Recorder(Generator())  # type: ignore[arg-type]
    for size in (3, 5):
        cuda.broken = {"end"} if size == 5 else set()
        for _ in range(WARM_CALLS + 2):
            recorder.run(lambda values: None, torch.zeros(size))
    assert cuda.replays == 2
    recorder.run(lambda values: None, torch.zeros(3))
    assert cuda.replays == 2, "its generator is not the one of now"


# Augmented and averaged, so that draws and rates must differ from replay to replay; the last batch is smaller.
FEW = {"dihedral": True, "shift": 2, "stain": 0.1, "cutout": 4, "ema": 0.1, "schedule": "cosine"}
MANY = FEW | {
    "normalization": "image",
    "rotation": 30.0,
    "scale": 0.3,
    "colour": 0.5,
    "blur": 0.5,
    "mixup": 0.4,
    "cutmix": 0.4,
}


def brightest_channel(images: torch.Tensor) -> torch.Tensor:
    """Return a teacher's probabilities of the three classes, each told by one channel."""
    return (images.float().mean((2, 3)) / 10).softmax(1)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("family", ["mlnn", "cnn", "lightweight", "residual", "resnet"])
@pytest.mark.parametrize("changes", [FEW, MANY], ids=["few", "many"])
def test_on_a_gpu_a_replayed_step_does_what_a_taken_one_does(family: str, changes: dict[str, Any]) -> None:
    splits = DeviceSplits.load(make_split(200, seed=1), make_split(60, seed=2), "cuda")
    configuration, losses = make_configuration(family, **changes), []
    teacher = brightest_channel if changes is MANY else None
    for watch in (Stopwatch(), Stopwatch(on=True)):
        training = Training(configuration, splits, max_epochs=9, seed=0, watch=watch, teacher=teacher)
        losses.append([training.run_epoch().train_loss for _ in range(9)])
    replayed, taken = losses
    # Near the end losses are small, and a GPU adds in another order each time.
    assert replayed == pytest.approx(taken, rel=0.02, abs=0.02)
