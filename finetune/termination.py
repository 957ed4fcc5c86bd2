"""Ends a process that is told to by SIGTERM: at once, or where work has asked for it, as soon as that has saved itself.

Python has no handler of its own, so that a container's first process ignores SIGTERM; and a handler in Python waits for
the main thread, which may be in TensorFlow for ever, where another worker has died.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

EXIT_CODE = 128 + signal.SIGTERM
# Kubernetes kills a pod 30 seconds after it was told.
GRACE_SECONDS = 20.0

_requested = threading.Event()
_exit_code = EXIT_CODE
_savers = 0


def listen(grace_seconds: float = GRACE_SECONDS) -> None:
    """Has SIGTERM end this process, whatever it is doing, after so many seconds at the latest. For the main thread."""
    read, write = os.pipe()
    os.set_blocking(write, False)
    signal.signal(signal.SIGTERM, _on_sigterm)
    signal.set_wakeup_fd(write, warn_on_full_buffer=False)

    def wait_for_it() -> None:
        while os.read(read, 1) != bytes([signal.SIGTERM]):
            pass
        _requested.set()
        time.sleep(grace_seconds)
        sys.stderr.write(f"ended {grace_seconds:g} s after it was told to, by force\n")
        sys.stderr.flush()
        os._exit(_exit_code)

    threading.Thread(target=wait_for_it, daemon=True).start()


def keep_listening() -> None:
    """Takes SIGTERM back where a library has put its handler in place of `listen`'s."""
    if signal.getsignal(signal.SIGTERM) is _on_sigterm:
        signal.signal(signal.SIGTERM, _on_sigterm)


def terminate(exit_code: int) -> None:
    """Tells this process to end, with an exit code of its own; from any thread."""
    global _exit_code
    _exit_code = exit_code
    os.kill(os.getpid(), signal.SIGTERM)


@contextmanager
def saving() -> Iterator[None]:
    """Holds SIGTERM off: the block asks `requested` from time to time, saves itself, and calls `leave`."""
    global _savers
    _savers += 1
    try:
        yield
    finally:
        _savers -= 1


def requested() -> bool:
    """Says whether this process has been told to end."""
    return _requested.is_set()


def leave() -> None:
    """Ends the program.

    Raises:
        SystemExit: Always.
    """
    raise SystemExit(_exit_code)


def _on_sigterm(number: int, frame: FrameType | None) -> None:
    _requested.set()
    if not _savers:
        leave()
