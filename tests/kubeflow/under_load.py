"""Other work on the processors while a test goes on."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterator
from contextlib import contextmanager

# How often a replay under load is done; each takes minutes.
REPLAYS = int(os.environ.get("FINETUNE_REPLAYS", "3"))


def busy() -> None:
    while True:
        pass


@contextmanager
def load() -> Iterator[None]:
    """As much other work as there are processors."""
    workers = [
        multiprocessing.get_context("spawn").Process(target=busy, daemon=True) for _ in range(os.cpu_count() or 1)
    ]
    for worker in workers:
        worker.start()
    try:
        yield
    finally:
        for worker in workers:
            worker.kill()
            worker.join()
