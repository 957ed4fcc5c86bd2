"""One run at a time in an output folder."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from finetune.disk import ADVICE, is_full
from finetune.errors import FinetuneError, RunError


@contextmanager
def only_run(output: Path) -> Iterator[None]:
    """Makes the output folder and keeps other runs out of it; the lock goes with the process, however it ends.

    Raises:
        RunError: The folder cannot be written, another run holds it, or the disk was full within the block.
    """
    try:
        output.mkdir(parents=True, exist_ok=True)
        lock = (output / ".lock").open("a+")
    except OSError as error:
        why = f"{output}: {ADVICE}" if is_full(error) else f"{output} cannot be written: {error}"
        raise RunError(f"output_dir: {why}") from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RunError(
                f"output_dir: another run is going on in {output}; wait for it, or set another output_dir."
            ) from None
        try:
            yield
        except Exception as error:
            if isinstance(error, FinetuneError) or not is_full(error):
                raise
            raise RunError(f"output_dir: {output}: {ADVICE}") from error
