"""Several hosts on one Linux machine: network, process and mount namespaces with an ssh server in each.

They share the file system, but for /tmp, /dev/shm and root's home, of which each has its own. Needs root, and Debian's
openssh-server, rsync and iproute2.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

BRIDGE = "bloodtune-test"
NETWORK = "10.98.7"  # hosts 1, 2, ...; this machine is 254

_SSHD = """
set -e
hostname host{number}
mount -t tmpfs tmpfs /dev/shm
mount -t overlay overlay -o lowerdir=/root,upperdir={folder}/home,workdir={folder}/work /root
mkdir -p /run/sshd
mount --bind {folder}/tmp /tmp
exec /usr/sbin/sshd -D -e -f /dev/null -o ListenAddress={address} -o HostKey={keys}/host -o PidFile=none \
    -o AuthorizedKeysFile={keys}/user.pub -o StrictModes=no -o PermitRootLogin=prohibit-password -o UsePAM=no \
    -o PrintMotd=no -o MaxSessions=100 -o MaxStartups=100
"""


class Hosts:
    """``count`` hosts that can be reached by ssh with ``key``, cut off their network, and killed."""

    def __init__(self, folder: Path, count: int) -> None:
        self.folder = folder
        self.count = count
        self.key = folder / "keys" / "user"
        self._servers: dict[int, subprocess.Popen[bytes]] = {}

    def address(self, number: int) -> str:
        """Return a host's address."""
        return f"{NETWORK}.{number}"

    def up(self) -> None:
        """Make the network and all hosts."""
        self.key.parent.mkdir(parents=True)
        for name in ("user", "host"):
            _run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(self.key.with_name(name)))
        _run("ip", "link", "add", BRIDGE, "type", "bridge")
        _run("ip", "address", "add", f"{NETWORK}.254/24", "dev", BRIDGE)
        _run("ip", "link", "set", BRIDGE, "up")
        for number in range(1, self.count + 1):
            name = f"{BRIDGE}-{number}"
            _run("ip", "netns", "add", name)
            _run("ip", "link", "add", f"btt{number}", "type", "veth", "peer", "name", "eth0", "netns", name)
            _run("ip", "link", "set", f"btt{number}", "master", BRIDGE, "up")
            _run("ip", "-n", name, "address", "add", f"{self.address(number)}/24", "dev", "eth0")
            _run("ip", "-n", name, "link", "set", "eth0", "up")
            _run("ip", "-n", name, "link", "set", "lo", "up")
            # Without it Ray finds no address of the host but 127.0.0.1.
            _run("ip", "-n", name, "route", "add", "default", "via", f"{NETWORK}.254")
            self.boot(number)

    def boot(self, number: int) -> None:
        """Start a host's ssh server, in new namespaces; its disk is as it was."""
        folder = self.folder / f"host{number}"
        for part in ("home", "work", "tmp"):
            (folder / part).mkdir(parents=True, exist_ok=True)
        script = _SSHD.format(number=number, folder=folder, address=self.address(number), keys=self.key.parent)
        with (folder / "sshd.log").open("ab") as log:
            inside = (
                f"ip netns exec {BRIDGE}-{number} unshare --pid --fork --kill-child --mount --mount-proc --uts bash -c"
            )
            self._servers[number] = subprocess.Popen(
                [*inside.split(), script], stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        deadline = time.monotonic() + 20
        while self.run(number, "true").returncode:
            assert time.monotonic() < deadline, (folder / "sshd.log").read_text()
            time.sleep(0.1)

    def command(self, number: int, command: str) -> list[str]:
        """Return the ssh command that runs a command on a host."""
        options = {
            "StrictHostKeyChecking": "no",
            "UserKnownHostsFile": "/dev/null",
            "LogLevel": "ERROR",
            "ConnectTimeout": "3",
        }
        flags = [flag for name, value in options.items() for flag in ("-o", f"{name}={value}")]
        return ["ssh", "-i", str(self.key), *flags, f"root@{self.address(number)}", command]

    def run(self, number: int, command: str) -> subprocess.CompletedProcess[str]:
        """Run a command on a host."""
        return subprocess.run(self.command(number, command), capture_output=True, text=True, timeout=600)

    def cut(self, number: int) -> None:
        """Take a host off the network."""
        _run("ip", "link", "set", f"btt{number}", "down")

    def join(self, number: int) -> None:
        """Give it its network back."""
        _run("ip", "link", "set", f"btt{number}", "up")

    def kill(self, number: int) -> None:
        """End every process of a host at once, as a power failure would."""
        server = self._servers.pop(number)
        server.send_signal(signal.SIGKILL)  # of unshare, which takes the namespace's processes with it
        server.wait()

    def down(self) -> None:
        """Remove everything."""
        for number in list(self._servers):
            self.kill(number)
        for number in range(1, self.count + 1):
            subprocess.run(["ip", "link", "del", f"btt{number}"], capture_output=True)
            subprocess.run(["ip", "netns", "del", f"{BRIDGE}-{number}"], capture_output=True)
        subprocess.run(["ip", "link", "del", BRIDGE], capture_output=True)


@contextlib.contextmanager
def running(count: int) -> Iterator[Hosts]:
    """Give hosts for as long as the context lasts."""
    with tempfile.TemporaryDirectory(prefix="bloodtune-hosts-", dir="/var/tmp", ignore_cleanup_errors=True) as folder:
        hosts = Hosts(Path(folder), count)
        try:
            hosts.up()
            yield hosts
        finally:
            hosts.down()


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "LC_ALL": "C"})
    assert done.returncode == 0, f"{shlex.join(command)}: {done.stderr}"
