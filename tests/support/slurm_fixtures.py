"""Stand-ins of Slurm's commands, for deploy/slurm.sh on one machine."""

from __future__ import annotations

import sys
from pathlib import Path

# As in Slurm 22.05 and newer: a step has one CPU per task unless the flag or SRUN_CPUS_PER_TASK says more, whatever
# sbatch was given. Its CPUs are the first ones of this process. `--exclude` and `-w` change nothing on one machine.
_SRUN = f"""#!{sys.executable}
import os, sys

cpus, words = os.environ.get("SRUN_CPUS_PER_TASK", "1"), sys.argv[1:]
while words[0].startswith("-"):
    flag, _, value = words.pop(0).partition("=")
    cpus = value if flag == "--cpus-per-task" else cpus
    if flag == "-w":
        words.pop(0)
os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: int(cpus)])
os.execvp(words[0], words)
"""
_SCONTROL = """#!/bin/sh
case $1 in
  show) echo node1 ;;
  requeue) echo "requeued $2" ;;
esac
"""
# What `hostname` prints where a name has IPv6 addresses, and where /etc/hosts has Debian's line for the own name.
_HOSTNAME = """#!/bin/sh
case $1 in
  --ip-address) echo "fe80::1%eth0 2001:db8::17 127.0.1.1" ;;
  --all-ip-addresses) echo "2001:db8::17 {address} 172.17.0.1 " ;;
esac
"""


def slurm_commands(folder: Path, address: str) -> Path:
    """Write srun, scontrol and hostname into a folder, which belongs first in PATH; ``address`` is this machine's."""
    folder.mkdir(parents=True)
    programs = {"srun": _SRUN, "scontrol": _SCONTROL, "hostname": _HOSTNAME.replace("{address}", address)}
    for name, text in programs.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    return folder


def lent(home: Path, **changes: str) -> dict[str, str]:
    """Return the variables that Slurm sets in a job on one node with two CPUs."""
    names = {"JOB_ID": "17", "JOB_NODELIST": "node1", "JOB_NUM_NODES": "1", "CPUS_PER_TASK": "2"}
    return {f"SLURM_{name}": value for name, value in (names | {"SUBMIT_DIR": str(home)} | changes).items()}
