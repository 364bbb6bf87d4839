"""Fuzz every reader for a while: `make fuzz ARGS="--seconds 180 npz recipes"`; needs Linux.

Each target runs in a process of its own, which may take 2 GiB more memory than it needs at its start. A finding is an
exception that the reader does not document, a message of several lines, more than 10 seconds, or the process's death.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import faulthandler
import multiprocessing
import os
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from pathlib import Path
from types import FrameType

LONGEST = 10  # seconds per input
MEMORY = 2 * 2**30
BATCH = 200  # inputs per start of hypothesis


class HangError(BaseException):
    """One input took longer than ``LONGEST``; no reader may catch it."""


def _stop(number: int, frame: FrameType | None) -> None:
    raise HangError(f"more than {LONGEST} s")


class Fuzzer:
    """Gives mutated files of one target to its reader, and counts what happens."""

    def __init__(self, name: str, scratch: Path) -> None:
        from fuzz_targets import TARGETS, write

        os.environ["XDG_CACHE_HOME"] = os.environ["HOME"] = str(scratch / "home")
        self.target, self._write = TARGETS[name], write
        self._fixed, self._now, self.kept = scratch / "fixed", scratch / "now", scratch / "findings"
        self._fixed.mkdir()
        self.examples = self.target.prepare(self._fixed)
        self.outcomes: collections.Counter[str] = collections.Counter()
        self.findings: dict[str, str] = {}
        self.last = ""

    def attempt(self, files: dict[str, bytes]) -> None:
        """Read one set of files."""
        shutil.rmtree(self._now, ignore_errors=True)
        shutil.rmtree(os.environ["XDG_CACHE_HOME"], ignore_errors=True)
        if any(self._fixed.iterdir()):
            shutil.copytree(self._fixed, self._now)
        self._now.mkdir(exist_ok=True)
        self._write(self._now, files)
        signal.alarm(LONGEST)
        faulthandler.dump_traceback_later(3 * LONGEST, exit=True)
        try:
            with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
                self.target.read(self._now)
            self.outcomes["read"] += 1
        except (Exception, HangError) as error:
            signal.alarm(0)
            self._judge(error)
        finally:
            signal.alarm(0)
            faulthandler.cancel_dump_traceback_later()

    def _judge(self, error: BaseException) -> None:
        self.outcomes["refused"] += 1
        self.last = text = str(error)
        chain, cause = [error], error
        while (cause := cause.__cause__ or cause.__context__) is not None and len(chain) < 10:
            chain.append(cause)
        is_full = any(isinstance(one, MemoryError) or "allocate memory" in str(one) for one in chain)
        is_full = is_full and "memory" not in text  # a refusal that says so is right
        is_one_line = "\n" not in text or self.target.allowed == (Exception,)
        if isinstance(error, self.target.allowed) and is_one_line and not is_full:
            return
        frames = traceback.extract_tb(chain[-1].__traceback__ if is_full else error.__traceback__)
        ours = [f"{Path(frame.filename).name}:{frame.lineno}" for frame in frames if "/bloodtune/" in frame.filename]
        kind = type(chain[-1] if is_full else error).__name__
        place = f"{kind} at {' > '.join(ours[-2:]) or frames[-1]}"
        if place not in self.findings:
            copy = self.kept / str(len(self.findings))
            shutil.copytree(self._now, copy)
            self.findings[place] = text
            print(f"FINDING {place}: {text[:300]!r}\n  {copy}", flush=True)
            if not isinstance(error, self.target.allowed):
                print("  " + "".join(traceback.format_exception(error)[-4:])[-1500:], flush=True)


def run_target(name: str, seconds: float, scratch: Path, seed: int) -> int:
    """Fuzz one target in this process; return the number of findings."""
    from hypothesis import HealthCheck, Phase, given, settings
    from hypothesis import seed as seeded
    from hypothesis import strategies as st

    from mutations import edits, mutate

    warnings.simplefilter("ignore")
    signal.signal(signal.SIGALRM, _stop)
    fuzzer = Fuzzer(name, scratch)
    for files in fuzzer.examples:  # unchanged ones are read
        fuzzer.attempt(dict(files))
    assert not fuzzer.outcomes["refused"], f"an unchanged example is refused: {fuzzer.last}"
    taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (taken + MEMORY, resource.RLIM_INFINITY))
    before, started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic()

    options = settings(
        max_examples=BATCH,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    while time.monotonic() - started < seconds:
        seed += 1

        @options
        @seeded(seed)
        @given(st.sampled_from(range(len(fuzzer.examples))), edits())
        def attempt(number, changes):  # type: ignore[no-untyped-def]
            if time.monotonic() - started < seconds:
                fuzzer.attempt(mutate(fuzzer.examples[number], changes))

        attempt()
    _print_outcomes(name, fuzzer, before)
    return len(fuzzer.findings)


def _print_outcomes(name: str, fuzzer: Fuzzer, memory_before: int) -> None:
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory_before) / 1024
    counts = f"{fuzzer.outcomes['read']:,} read, {fuzzer.outcomes['refused']:,} refused"
    print(
        f"{name}: {fuzzer.outcomes.total():,} inputs, {counts}; {len(fuzzer.findings)} findings; {grown:.0f} MB more",
        flush=True,
    )


def main(argv: list[str] | None = None) -> int:
    """Fuzz the targets that are named, each in a process of its own; return 1 if there are findings."""
    from fuzz_targets import TARGETS

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("targets", nargs="*", choices=[[], *TARGETS], metavar="TARGET", help=", ".join(TARGETS))
    parser.add_argument("--seconds", type=float, default=120, help="per target")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(argv)
    failed = 0
    for name in options.targets or TARGETS:
        scratch = Path(tempfile.mkdtemp(prefix=f"bloodtune-fuzz-{name}-"))
        arguments = (name, options.seconds, scratch, options.seed)
        process = multiprocessing.get_context("fork").Process(target=_in_child, args=arguments)  # imports are done
        process.start()
        process.join()
        if process.exitcode:
            failed = 1
            print(f"{name}: exit code {process.exitcode}; inputs kept in {scratch}", flush=True)
        else:
            shutil.rmtree(scratch)
    return failed


def _in_child(name: str, seconds: float, scratch: Path, seed: int) -> None:
    sys.exit(run_target(name, seconds, scratch, seed) > 0)


if __name__ == "__main__":
    sys.exit(main())
