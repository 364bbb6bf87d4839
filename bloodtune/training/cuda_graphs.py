"""Training steps recorded as CUDA graphs.

A small network spends most of a step launching kernels; a graph launches all kernels of a step at once.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable

import torch

from bloodtune.errors import describe

# Eager calls per input shape before the recording: optimisers and libraries allocate their state in the first calls.
WARM_CALLS = 3


class Recorder:
    """Records a function of GPU tensors once per input shape and replays the recording.

    The function must be the same at every call, must not synchronize with the GPU, returns None and changes tensors in
    place only. Its random numbers come from PyTorch's default generator or from ``generator``.

    The recorder keeps no reference to the function. The function's owner can therefore hold the recorder without a
    reference cycle, and the graphs' memory is freed together with the owner.

    Use one recorder at a time per process: when a graph is freed, PyTorch 2.13 also frees the cuBLAS workspace of the
    stream that all recorders share.

    Attributes:
        failure: why the function cannot be recorded; from then on each call runs it as it is. Empty if it can.
    """

    failure = ""

    def __init__(self, generator: torch.Generator) -> None:
        self._generator = generator
        # All shapes share one memory pool: only one graph runs at a time, and nothing reads its memory afterwards.
        self._pool = torch.cuda.graph_pool_handle()
        self._calls: Counter[tuple[torch.Size, ...]] = Counter()
        self._recorded: dict[tuple[torch.Size, ...], tuple[torch.cuda.CUDAGraph, list[torch.Tensor]]] = {}

    def run(self, function: Callable[..., None], *arguments: torch.Tensor) -> None:
        """Run ``function``, or its recording, on ``arguments``; the shapes of the arguments select the recording."""
        shapes = tuple(argument.shape for argument in arguments)
        if shapes not in self._recorded:
            self._calls[shapes] += 1
            if self.failure or self._calls[shapes] <= WARM_CALLS or not self._try_to_record(function, *arguments):
                return self._run_aside(function, *arguments)
        graph, inputs = self._recorded[shapes]
        for place, argument in zip(inputs, arguments, strict=True):
            place.copy_(argument)
        graph.replay()
        return None

    def _run_aside(self, function: Callable[..., None], *arguments: torch.Tensor) -> None:
        # Eager calls use the recording's stream, because autograd binds its nodes and cuBLAS its memory to a stream.
        here, aside = torch.cuda.current_stream(), _stream()
        aside.wait_stream(here)
        with torch.cuda.stream(aside):
            function(*arguments)
        here.wait_stream(aside)

    def _try_to_record(self, function: Callable[..., None], *arguments: torch.Tensor) -> bool:
        # A recording that fails has computed nothing, so the call can still run the function as it is.
        generators = [self._generator, torch.cuda.default_generators[torch.cuda.current_device()]]
        states, here = [generator.clone_state() for generator in generators], torch.cuda.current_stream()
        try:
            self._recorded[tuple(argument.shape for argument in arguments)] = self._record(function, *arguments)
        except Exception as error:  # PyTorch raises many types
            self.failure = describe(error)
            self._recorded.clear()  # they draw from the generators' former states
            # PyTorch leaves the stream and the generators as they were within the recording.
            torch.cuda.set_stream(here)
            for generator, state in zip(generators, states, strict=True):
                generator.graphsafe_set_state(state)
        return not self.failure

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
    # One stream per process: cuBLAS keeps 64 MiB for every stream it has ever used.
    return torch.cuda.Stream()  # type: ignore[no-untyped-call]
