"""The serving process on the parent's side: starts `served_alone.py`, asks it, and ends it, whatever happens to it."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from components.serving_gate.server import Answer, NotServed, Output
from finetune.cpus import THREAD_VARIABLES

SCRIPT = Path(__file__).with_name("served_alone.py")
# What a serving process may not import: our packages, and what trains but does not serve.
HIDDEN = (
    *("components", "evaluation", "finetune", "finetune_cli", "finetune_kubeflow", "pipeline", "registry"),
    *("trainer_module", "transforms"),
    *("apache_beam", "tensorflow_model_analysis", "tensorflow_transform", "tfx"),
)
# The part of the environment that a program cannot do without, or that says which devices there are.
_KEPT = ("PATH", "LANG", "LC_ALL", "TZ", "LD_LIBRARY_PATH", "CUDA_VISIBLE_DEVICES", *THREAD_VARIABLES)
_STDERR_LINES = 3


class Process:
    """A program that answers JSON lines with JSON lines.

    Args:
        command: Program and arguments.
        folder: Its working directory and home; its standard error goes to `stderr.txt` there.
        timeout: Seconds that each answer may take.
    """

    def __init__(self, command: Sequence[str], folder: Path, timeout: float):
        self._timeout = timeout
        self._stderr = folder / "stderr.txt"
        with self._stderr.open("wb") as stderr:
            self._process = subprocess.Popen(
                list(command),
                cwd=folder,
                env=clean_environment(folder),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
                encoding="utf-8",
                start_new_session=True,
            )
        assert self._process.stdin
        assert self._process.stdout
        self._stdin, self._stdout = self._process.stdin, self._process.stdout
        self._lines: queue.Queue[str] = queue.Queue()
        # A read that can be given up after a while takes a thread; it ends with the process.
        threading.Thread(target=self._read, daemon=True).start()

    def send(self, **command: Any) -> None:
        """Sends a command; `receive` gets its answer."""
        try:
            self._stdin.write(json.dumps(command) + "\n")
            self._stdin.flush()
        except OSError:
            raise NotServed(self._death()) from None

    def receive(self) -> dict[str, Any]:
        """The next answer.

        Raises:
            NotServed: It is an error, there is none in time, or the process has ended.
        """
        try:
            line = self._lines.get(timeout=self._timeout)
        except queue.Empty:
            raise NotServed(f"it did not answer within {self._timeout:g} s") from None
        if not line:
            raise NotServed(self._death())
        answer = json.loads(line)
        if "error" in answer:
            raise NotServed(answer["error"])
        return answer

    def ask(self, **command: Any) -> dict[str, Any]:
        """Sends a command and returns its answer."""
        self.send(**command)
        return self.receive()

    def close(self) -> None:
        """Kills the process and all that it started."""
        end(self._process)
        for pipe in (self._stdin, self._stdout):
            try:
                pipe.close()
            except OSError:
                continue

    def _read(self) -> None:
        try:
            for line in self._stdout:
                self._lines.put(line)
        except ValueError:  # closed under the reader
            pass
        self._lines.put("")

    def _death(self) -> str:
        return death(self._process, self._stderr, self._timeout)


class AloneServer:
    """A model in a fresh Python process; see `served_alone.py`. It begins to import TensorFlow at once."""

    def __init__(self, model: Path, requests: Path, folder: Path, timeout: float, hidden: Sequence[str] = HIDDEN):
        self.load_seconds = float("nan")
        self._model, self._requests = model, requests
        self._process = Process([sys.executable, "-I", str(SCRIPT), *hidden], folder, timeout)
        self._process.send(do="import")

    def prepare(self) -> None:
        """See Server."""
        self._process.receive()

    def load(self) -> None:
        """See Server."""
        answer = self._process.ask(do="load", model=str(self._model), requests=str(self._requests))
        self.load_seconds = answer["seconds"]

    def predict(self, requests: Sequence[int]) -> Answer:
        """See Server."""
        outputs = self._process.ask(do="predict", requests=list(requests))["outputs"]
        return {name: Output(found["dtype"], tuple(found["shape"]), found["values"]) for name, found in outputs.items()}

    def seconds(self, requests: Sequence[int]) -> float:
        """See Server."""
        return self._process.ask(do="time", requests=list(requests))["seconds"]

    def peak_memory_mb(self) -> float:
        """See Server."""
        return self._process.ask(do="memory")["peak_kb"] * 1024 / 1e6

    def close(self) -> None:
        """See Server."""
        self._process.close()


def clean_environment(folder: Path) -> dict[str, str]:
    """The environment of a serving process: nothing of ours, no credentials, a home of its own."""
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    return {**kept, "HOME": str(folder), "TMPDIR": str(folder), "TF_CPP_MIN_LOG_LEVEL": "2"}


def end(process: subprocess.Popen[Any]) -> None:
    """Kills a process that was started in a session of its own, with its children, and waits for it."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def death(process: subprocess.Popen[Any], stderr: Path, timeout: float) -> str:
    """How a process ended, with the last that it said."""
    try:
        code = process.wait(timeout)
    except subprocess.TimeoutExpired:
        return "it closed its output and went on"
    how = f"it was ended by {signal.Signals(-code).name}" if code < 0 else f"it ended with exit code {code}"
    said = [line for line in stderr.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    return how + (f": {' / '.join(said[-_STDERR_LINES:])}" if said else "")
