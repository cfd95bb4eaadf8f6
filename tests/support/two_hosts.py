"""Two hosts that reach each other by their own addresses alone: network namespaces of this machine."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

LAUNCHER = "paddle.distributed.launch"
MASTER = "10.77.0.1:8090"
SECONDS = 300  # more than enough; what hangs shall fail


@dataclass(frozen=True)
class Host:
    """One of the two; the machine's name stands for 127.0.0.1 in it, as it does on many machines."""

    namespace: str
    address: str

    def launch(
        self, folder: Path, script: Path, arguments: Sequence[str], processes: int = 1, *, told: bool = True
    ) -> subprocess.Popen[str]:
        """Start Paddle's launcher in `folder`, for so many processes of `script`. `told`: its address."""
        host = ["--host", self.address] if told else []
        return subprocess.Popen(
            [
                *("ip", "netns", "exec", self.namespace, sys.executable, "-m", LAUNCHER, "--master", MASTER),
                *(*host, "--nnodes", "2", "--nproc_per_node", str(processes), str(script), *arguments),
            ],
            cwd=folder,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def kill_workers(self) -> None:
        """End what the launcher has started, by SIGKILL."""
        for pid in self.processes():
            if LAUNCHER.encode() not in Path(f"/proc/{pid}/cmdline").read_bytes():
                os.kill(pid, signal.SIGKILL)

    def processes(self) -> list[int]:
        listed = subprocess.run(["ip", "netns", "pids", self.namespace], capture_output=True, check=True)
        return [int(pid) for pid in listed.stdout.split()]


def missing() -> str | None:
    """Why there can be no such hosts here, or None."""
    if os.geteuid() != 0:
        return "only root can make network namespaces"
    if shutil.which("ip") is None:
        return "network namespaces are made by `ip` (iproute2), which is not installed"
    name = f"qcc-try-{os.getpid()}"
    tried = subprocess.run(["ip", "netns", "add", name], capture_output=True, text=True)
    if tried.returncode != 0:
        return f"network namespaces cannot be made here: {tried.stderr.strip()}"
    subprocess.run(["ip", "netns", "del", name], check=True)
    return None


@contextmanager
def two_hosts() -> Iterator[tuple[Host, Host]]:
    """They are taken away at the end, with all that runs in them."""
    hosts = tuple(Host(f"qcc-{os.getpid()}-{number}", f"10.77.0.{number}") for number in (1, 2))
    first, second = hosts
    made: list[Host] = []
    try:
        for host in hosts:
            _ip("netns", "add", host.namespace)
            made.append(host)
        ends = ("link", "add", "qcc", "netns", first.namespace, "type", "veth", "peer", "name", "qcc")
        _ip(*ends, "netns", second.namespace)
        for host in hosts:
            _ip("-n", host.namespace, "addr", "add", f"{host.address}/24", "dev", "qcc")
            for device in ("lo", "qcc"):
                _ip("-n", host.namespace, "link", "set", device, "up")
        yield first, second
    finally:
        for host in made:
            for pid in host.processes():
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            _ip("netns", "del", host.namespace)


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True)
