"""The compiler stays out of the processes that do not compile, and is there for those that do."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

TRAIN = """
import sys, torch
from bloodtune.space.configuration import Configuration
from bloodtune.training.optimizers import build_optimizer
from bloodtune.training.process_setup import prepare_process
prepare_process("cpu")
network = torch.nn.Linear(3, 2)
values = {"family": "cnn", "width": 4, "learning_rate": 0.1, "batch_size": 4}
for optimizer in ({"optimizer": "adam"}, {"optimizer": "sgd", "momentum": 0.9, "nesterov": False}):
    build = build_optimizer(Configuration.from_mapping(values | optimizer), network)
    network(torch.ones(1, 3)).sum().backward()
    build.step()
    build.zero_grad()
"""


def run(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


def test_an_optimiser_of_a_worker_does_not_import_the_compiler() -> None:
    loaded = run(TRAIN + "print('torch._dynamo.symbolic_convert' in sys.modules, 'sympy' in sys.modules)")
    assert loaded.split() == ["False", "False"]


def test_what_compiles_later_finds_the_compiler() -> None:
    code = TRAIN + (
        "import inspect; inspect.getmodule(network)\n"
        "print(type(sys.modules['torch._dynamo']).__name__)\n"
        "double = torch.compile(lambda x: 2 * x, backend='eager')\n"
        "print(double(torch.ones(1)).item())\n"
        "import torch._dynamo.config\n"
        "print(type(torch._dynamo).__name__, type(sys.modules['torch._dynamo']).__name__)"
    )
    assert run(code).split() == ["_Deferred", "2.0", "module", "module"]


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the setting is glibc's")
def test_one_core_has_one_thread_keeps_the_memory_it_frees_and_no_denormal_numbers() -> None:
    code = (
        "import resource, torch\n"
        "from bloodtune.training.process_setup import prepare_process\n"
        "prepare_process('cpu')\n"
        "def faults():\n"
        "    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt\n"
        "    [torch.zeros(2**22) for _ in range(8)]\n"
        "    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before\n"
        "faults(); faults(); print(torch.get_num_threads(), faults(), float(torch.tensor(1e-30) * 1e-10))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    threads, faults, product = map(float, done.stdout.split())
    assert (threads, product) == (1, 0)
    assert faults < 4 * 4096  # eight tensors of 4096 pages each
