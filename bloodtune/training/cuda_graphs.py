"""Functions recorded as CUDA graphs: small networks wait for their kernels to be launched, graphs launch at once."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable

import torch

# Calls of a shape before it is recorded: optimisers and libraries set themselves up in the first ones.
WARM_CALLS = 3


class Recorder:
    """Runs a function of tensors on a GPU, always the same; recorded once for each shape of them, then replayed.

    It must not wait for the GPU, must return nothing and change tensors in place only. What it draws comes from
    PyTorch's default generator or from ``generator``. It is not kept: its owner may keep this, and both go at once,
    with the memory of the records, when nobody needs them. A process is to have one at a time: with a record's end
    PyTorch 2.13 frees what cuBLAS uses on the stream that all share.
    """

    def __init__(self, generator: torch.Generator) -> None:
        self._generator = generator
        # One for all shapes, of which one is replayed at a time, and nothing in it is looked at afterwards.
        self._pool = torch.cuda.graph_pool_handle()
        self._calls: Counter[tuple[torch.Size, ...]] = Counter()
        self._recorded: dict[tuple[torch.Size, ...], tuple[torch.cuda.CUDAGraph, list[torch.Tensor]]] = {}

    def run(self, function: Callable[..., None], *arguments: torch.Tensor) -> None:
        """Run the function, or its record, on ``arguments``."""
        shapes = tuple(argument.shape for argument in arguments)
        if shapes not in self._recorded:
            self._calls[shapes] += 1
            if self._calls[shapes] <= WARM_CALLS:
                return self._run_aside(function, *arguments)
            self._recorded[shapes] = self._record(function, *arguments)
        graph, inputs = self._recorded[shapes]
        for place, argument in zip(inputs, arguments, strict=True):
            place.copy_(argument)
        graph.replay()
        return None

    def _run_aside(self, function: Callable[..., None], *arguments: torch.Tensor) -> None:
        # On the stream of a recording: autograd ties its nodes to streams, and cuBLAS its memory.
        here, aside = torch.cuda.current_stream(), _stream()
        aside.wait_stream(here)
        with torch.cuda.stream(aside):
            function(*arguments)
        here.wait_stream(aside)

    def _record(
        self, function: Callable[..., None], *arguments: torch.Tensor
    ) -> tuple[torch.cuda.CUDAGraph, list[torch.Tensor]]:
        inputs = [argument.clone() for argument in arguments]
        graph = torch.cuda.CUDAGraph()
        graph.register_generator_state(self._generator)
        with torch.cuda.graph(graph, pool=self._pool, stream=_stream()):
            function(*inputs)
        return graph, inputs


@functools.cache
def _stream() -> torch.cuda.Stream:
    # One of a process: on each that it sees cuBLAS keeps 64 MiB, for good.
    return torch.cuda.Stream()  # type: ignore[no-untyped-call]
