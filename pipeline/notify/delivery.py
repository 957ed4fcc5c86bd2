"""Delivers messages: each is on the disk before it is sent, and until it has been taken.

A message that is taken just before this process is killed is sent again: receivers know it by its id.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import hmac
import os
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from finetune.config.notify import NotifyConfig
from finetune.events import Note, emit
from finetune.files import write_text
from pipeline.notify.message import Message

FOLDER = "outbox"
SECRET_ENV = "FINETUNE_NOTIFY_SECRET"
SIGNATURE_HEADER, ID_HEADER = "X-Finetune-Signature", "X-Finetune-Id"
# Between attempts, in seconds, as long as there is time.
_PAUSES = (0.5, 1.0, 2.0, 4.0)
# What nobody took for so long, or beyond so many, is dropped, the oldest first.
_KEPT_SECONDS, _KEPT = 30 * 24 * 3600, 1000


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A secret goes nowhere but where the config says."""

    def redirect_request(self, *arguments: Any) -> None:
        return None


def send(config: NotifyConfig, output: Path, message: Message) -> bool:
    """Sends a message and those that wait in an output folder, in time; tells whether none waits any more.

    Nothing raises: what goes wrong is a warning.
    """
    if config.url is None:
        return True
    folder = output / FOLDER
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # Names are in the order of time.
        write_text(folder / f"{time.time_ns():020d}-{message.id}.json", message.text())
    except OSError as error:
        _warn(config, f"{folder} cannot be written: {error}")
        return False
    # A server that answers by single bytes would hold a run up for ever, whatever the socket's own time is.
    problem = ["it did not answer in time"]
    worker = threading.Thread(target=_deliver, args=(config, folder, problem), daemon=True)
    worker.start()
    worker.join(config.seconds)
    if problem[0]:
        left = len(list(_waiting(folder)))
        _warn(config, f"{problem[0]}; {left} message{'s wait' if left != 1 else ' waits'} for a later run")
    return not problem[0]


def _deliver(config: NotifyConfig, folder: Path, problem: list[str]) -> None:
    """Sends what waits, the oldest first; `problem` gets why something still does, or is empty."""
    end = time.monotonic() + config.seconds
    try:
        with (folder / ".lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            _drop_old(folder)
            problems = [_attempt(config, path, end) for path in _waiting(folder)]
    except OSError as error:
        problems = [f"{folder} cannot be written: {error}"]
    problem[0] = next(filter(None, problems), "")


def _waiting(folder: Path) -> Iterator[Path]:
    return iter(sorted(path for path in folder.glob("*.json") if not path.name.startswith(".")))


def _drop_old(folder: Path) -> None:
    now = time.time()
    waiting = list(_waiting(folder))
    for place, path in enumerate(waiting, start=-len(waiting)):
        with contextlib.suppress(FileNotFoundError):
            if place < -_KEPT or now - path.stat().st_mtime > _KEPT_SECONDS:
                path.unlink()


def _attempt(config: NotifyConfig, path: Path, end: float) -> str:
    """Sends one message, several times where that may help; says why it was not taken, or nothing."""
    why = "there was no time left"
    for pause in (*_PAUSES, 0.0):
        left = end - time.monotonic()
        if left <= 0:
            break
        why, again = _post(config, path.read_bytes(), path.stem.partition("-")[2], left)
        if not why:
            path.unlink(missing_ok=True)
        if not why or not again:
            break
        time.sleep(min(pause, max(end - time.monotonic(), 0)))
    return why


def _post(config: NotifyConfig, body: bytes, message_id: str, seconds: float) -> tuple[str, bool]:
    """Makes one request; returns why it was not taken, or nothing, and whether another attempt may help.

    Of errors only what cannot hold the secret is told.
    """
    headers = {"Content-Type": "application/json", "User-Agent": "finetune", ID_HEADER: message_id}
    secret = os.environ.get(SECRET_ENV, "").strip()
    if not (secret.isascii() and (secret.isprintable())):
        return f"{SECRET_ENV} holds letters that no header may have", False
    if secret and config.auth == "bearer":
        headers["Authorization"] = f"Bearer {secret}"
    elif secret:
        digest = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
        headers[SIGNATURE_HEADER] = f"sha256={digest}"
    request = urllib.request.Request(str(config.url), body, headers, method="POST")
    try:
        with urllib.request.build_opener(_NoRedirects).open(request, timeout=seconds):
            return "", False
    except urllib.error.HTTPError as error:
        error.close()
        return f"it answered {error.code}", error.code >= 500 or error.code in (408, 429)
    except urllib.error.URLError as error:
        return f"it was not reached: {error.reason}", True
    except OSError as error:
        return f"the connection broke: {error}", True
    except Exception as error:  # Such as an answer that is no HTTP.
        return f"it was not understood: {type(error).__name__}", True


def _warn(config: NotifyConfig, text: str) -> None:
    host = urlsplit(str(config.url)).hostname
    emit(Note(level="warning", text=f"notify.url: {host} was not told of this run: {text}"))
