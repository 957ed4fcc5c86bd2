"""A TensorFlow Serving binary behind its REST interface, as a server of the gate."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import socket
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from components.serving_gate.process import clean_environment, death, end
from components.serving_gate.server import Answer, NotServed, Output

NAME = "model"
_POLL_SECONDS = 0.05
_LAST_MOMENT_SECONDS = 2.0


class TensorFlowServing:
    """Starts `BINARY --model_base_path=...` on free local ports and asks it over HTTP.

    The time of a request includes HTTP and JSON, as clients of the REST interface pay for them.

    Args:
        binary: Path of `tensorflow_model_server`.
        model: SavedModel folder, a numbered version in a folder of its own.
        requests: File with one base64 request a line.
        folder: Where the server's output goes.
        timeout: Seconds that starting, and each answer, may take.
    """

    def __init__(self, binary: Path, model: Path, requests: Path, folder: Path, timeout: float):
        self.load_seconds = float("nan")
        self._binary, self._model, self._folder, self._timeout = binary, model, folder, timeout
        self._requests = [{"b64": line.decode().strip()} for line in requests.read_bytes().splitlines()]
        self._process: subprocess.Popen[bytes]
        self._connection: http.client.HTTPConnection
        self._started = contextlib.ExitStack()

    def prepare(self) -> None:
        """See Server."""

    def load(self) -> None:
        """See Server; the time includes the start of the program."""
        rest, grpc = _free_ports(2)
        start = time.perf_counter()
        command = [
            str(self._binary),
            f"--rest_api_port={rest}",
            f"--port={grpc}",
            f"--model_name={NAME}",
            f"--model_base_path={self._model.parent}",
        ]
        with (self._folder / "stderr.txt").open("wb") as output:
            try:
                self._process = subprocess.Popen(
                    command,
                    cwd=self._folder,
                    env=clean_environment(self._folder),
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    start_new_session=True,
                )
            except OSError as error:
                raise NotServed(f"serving.binary: {self._binary} cannot be started: {error}") from None
        self._started.callback(end, self._process)
        self._connection = http.client.HTTPConnection("127.0.0.1", rest, timeout=self._timeout)
        self._started.callback(self._connection.close)
        while not self._is_available():
            if self._process.poll() is not None:
                raise NotServed(self._death())
            if time.perf_counter() - start > self._timeout:
                raise NotServed(f"it did not load the model within {self._timeout:g} s")
            time.sleep(_POLL_SECONDS)
        self.load_seconds = time.perf_counter() - start

    def predict(self, requests: Sequence[int]) -> Answer:
        """See Server."""
        rows = self._post(requests)[0]
        names = dict.fromkeys(name for row in rows for name in row)
        return {name: _output([row.get(name) for row in rows]) for name in names}

    def seconds(self, requests: Sequence[int]) -> float:
        """See Server."""
        return self._post(requests)[1]

    def peak_memory_mb(self) -> float:
        """See Server."""
        status = Path(f"/proc/{self._process.pid}/status").read_text(encoding="ascii")
        peak = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
        return int(peak.split()[1]) * 1024 / 1e6

    def close(self) -> None:
        """See Server."""
        self._started.close()

    def _is_available(self) -> bool:
        try:
            status, answer = self._talk("GET", f"/v1/models/{NAME}")
        except (OSError, http.client.HTTPException):
            self._connection.close()
            return False
        states = answer.get("model_version_status", []) if status == 200 else []
        errors = [found["status"].get("error_message", "") for found in states if found.get("state") == "END"]
        if errors:
            raise NotServed(f"TensorFlow Serving could not load it: {errors[0]}")
        return any(found.get("state") == "AVAILABLE" for found in states)

    def _post(self, requests: Sequence[int]) -> tuple[list[dict[str, Any]], float]:
        instances = [self._requests[number] for number in requests]
        body = json.dumps({"signature_name": "serving_default", "instances": instances})
        start = time.perf_counter()
        try:
            status, answer = self._talk("POST", f"/v1/models/{NAME}:predict", body)
        except TimeoutError:
            raise NotServed(f"it did not answer within {self._timeout:g} s") from None
        except (OSError, http.client.HTTPException) as error:
            raise NotServed(self._death() if self._has_ended() else f"the connection broke: {error}") from None
        seconds = time.perf_counter() - start
        if status != 200:
            raise NotServed(f"TensorFlow Serving answered {status}: {answer.get('error', '')}"[:2000])
        return answer["predictions"], seconds

    def _talk(self, method: str, path: str, body: str | None = None) -> tuple[int, dict[str, Any]]:
        self._connection.request(method, path, body, {"Content-Type": "application/json"})
        response = self._connection.getresponse()
        content = response.read()
        try:
            return response.status, json.loads(content)
        except ValueError:
            return response.status, {"error": content[:200].decode("utf-8", "replace")}

    def _has_ended(self) -> bool:
        """A dying program closes its connections a moment before it is gone."""
        try:
            self._process.wait(_LAST_MOMENT_SECONDS)
        except subprocess.TimeoutExpired:
            return False
        return True

    def _death(self) -> str:
        return death(self._process, self._folder / "stderr.txt", self._timeout)


def _output(rows: list[Any]) -> Output:
    """A column of the rows that REST answers in; it does not tell types, and strings may come in base64."""
    values = [_plain(row) for row in rows]
    try:
        return Output(None, np.shape(values), values)
    except ValueError:
        raise NotServed("its answers for one batch differ in shape") from None


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, dict) and set(value) == {"b64"}:
        return base64.b64decode(value["b64"]).decode("utf-8", "replace")
    return value


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    try:
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()
