"""A pool of Beam's SDK workers as a process of its own, and what tests look at in processes."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Pool:
    """A pool of SDK workers: a process group of its own, in a working directory where there is nothing."""

    process: subprocess.Popen
    port: int
    folder: Path

    @property
    def args(self) -> list[str]:
        """Options of Beam for stages whose workers come from this pool."""
        return ["--environment_type=EXTERNAL", f"--environment_config=localhost:{self.port}"]

    def workers(self) -> list[int]:
        """The processes that it has started and that run."""
        children = Path(f"/proc/{self.process.pid}/task").glob("*/children")
        return [int(pid) for tasks in children for pid in tasks.read_text().split()]

    def kill(self) -> None:
        """Ends the pool and its workers at once, as the loss of a machine does."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


def accepts(port: int) -> bool:
    try:
        socket.create_connection(("localhost", port), timeout=1).close()
    except OSError:
        return False
    return True


def wait_until(condition: Callable[[], object], seconds: float, otherwise: str) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, otherwise
        time.sleep(0.05)


def seconds_of(pid: int) -> float:
    """The processor time that a process has used."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except FileNotFoundError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
