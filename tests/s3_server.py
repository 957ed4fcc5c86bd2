"""A server of S3 on loopback (moto), and a connection to it that breaks when told to."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

import pytest

SECRET = "not-to-be-seen-anywhere"
ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "key-of-a-test",
    "AWS_SECRET_ACCESS_KEY": SECRET,
    "AWS_DEFAULT_REGION": "us-east-1",
}


@contextmanager
def server() -> Iterator[int]:
    """Runs moto's server in a process of its own, and yields its port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        end = time.monotonic() + 60
        while True:
            with suppress(OSError):
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            assert process.poll() is None, "moto's server ended"
            assert time.monotonic() < end, "moto's server did not start"
            time.sleep(0.1)
        yield port
    finally:
        process.kill()
        process.wait()


@dataclass
class Cable:
    """The way to the server, which breaks in the middle of what it carries.

    Attributes:
        cut: Requests that are to be cut, as a pattern of their first line, such as `GET .*/0.png`.
        times: How often it breaks.
        after: Bytes that still pass: of the answer to a GET, of the request of a PUT.
        broken: First lines of the requests that it broke.
    """

    to: int
    cut: str = "(?!)"
    times: int = 1_000_000
    after: int = 200
    broken: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                upstream = socket.create_connection(("127.0.0.1", self.to))
                limit: dict[str, int | None] = {"GET": None, "PUT": None}
                for way in ("PUT", "GET"):
                    ends = (client, upstream) if way == "PUT" else (upstream, client)
                    threading.Thread(target=self._carry, args=(way, *ends, limit), daemon=True).start()

    def _carry(self, way: str, source: socket.socket, target: socket.socket, limit: dict[str, int | None]) -> None:
        with suppress(OSError):
            while data := source.recv(1 << 16):
                line = data.partition(b"\r\n")[0].decode("latin-1")
                if way == "PUT" and self.times and re.match(self.cut, line):
                    self.times -= 1
                    self.broken.append(line)
                    limit[line[:3]] = self.after
                left = limit[way]
                if left is not None:
                    target.sendall(data[:left])
                    limit[way] = left - len(data)
                    if left <= len(data):
                        break
                else:
                    target.sendall(data)
        for end in (source, target):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()


def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Has clients give up at once: what botocore and s3fs try again by themselves takes a minute."""
    import s3fs

    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    monkeypatch.setattr(s3fs.S3FileSystem, "retries", 1)
    s3fs.S3FileSystem.clear_instance_cache()
