"""A lease: a file that a process renews for as long as it lives, for others who have no other way to know.

On a shared volume the others may be on other machines, with clocks of their own: it is renewed with another content
each time, and whoever watches measures how long that stays the same.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from finetune.files import text_of, write_text

RENEW_SECONDS = 10.0
# Longer than a retry takes to start and to renew it.
LOST_SECONDS = 300.0


@contextmanager
def renewed(file: Path, every: float = RENEW_SECONDS) -> Iterator[None]:
    """Renews the lease for the time of the block."""
    over = threading.Event()

    def renew() -> None:
        number = 0
        while True:
            with suppress(OSError):  # A volume that is away for a moment costs nothing yet.
                write_text(file, f"{time.time()} {number}")
            number += 1
            if over.wait(every):
                return

    thread = threading.Thread(target=renew, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def watch(
    file: Path, on_lost: Callable[[], None], every: float = RENEW_SECONDS, lost_after: float = LOST_SECONDS
) -> None:
    """Calls `on_lost` from a thread when the lease has not been renewed for so many seconds of this machine's clock."""

    def look() -> None:
        content, since = text_of(file), time.monotonic()
        while time.monotonic() - since < lost_after:
            time.sleep(every)
            now = text_of(file)
            if now is not None and now != content:
                content, since = now, time.monotonic()
        on_lost()

    threading.Thread(target=look, daemon=True).start()
