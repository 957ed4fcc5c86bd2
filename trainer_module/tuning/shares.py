"""Which trials of a search this process trains, where others train some beside it. No TensorFlow here.

All that they share is files in one folder, on one machine or on a volume of several:

    <number>.json, <number>.npy   what became of a trial, and its logits
    claims/<number>               which worker trains it, or has begun to
    workers/<worker>              the lease of a worker: renewed for as long as it lives

A trial whose worker no longer renews its lease is anybody's. Should two train the same one, where a file system cannot
make a file for one of them alone, they do so to the same end: a trial is a function of the config and its number.
"""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Container, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from finetune import lease
from finetune.artifacts.tuning import Trial
from finetune.errors import RunError
from finetune.files import text_of, write_text

# Number of this process among those of a search, the chief being 0; where it is not set, this process makes them.
WORKER_ENV = "FINETUNE_TUNER_WORKER"
# Trials of a worker that has not been heard of for so long are trained by others.
LOST_SECONDS = 60.0


class Shares(Protocol):
    """What says which trials are this process's to train."""

    def is_left(self, number: int) -> bool:
        """Says whether a trial is neither over nor being trained."""
        ...

    def take(self, number: int) -> bool:
        """Makes a trial this process's, right before it is trained; says whether that was possible."""
        ...


@dataclass(frozen=True)
class Alone:
    """The shares of a process that trains all trials but those that are over."""

    over: Container[int] = ()

    def is_left(self, number: int) -> bool:
        """See `Shares`."""
        return number not in self.over

    def take(self, number: int) -> bool:
        """See `Shares`."""
        return number not in self.over


class Shared:
    """The shares of one of several processes."""

    def __init__(self, folder: Path, lost_seconds: float = LOST_SECONDS):
        """Args:
        folder: That all of them have.
        lost_seconds: For which a worker has not renewed its lease whose trials others take.
        """
        self._folder, self._lost_seconds = folder, lost_seconds
        self._claims, self._workers = folder / "claims", folder / "workers"
        self._name = f"{os.uname().nodename}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
        self._mine: set[int] = set()
        # What was last read of the lease behind each claim, and since when, on this machine's clock.
        self._seen: dict[tuple[int, str], tuple[str | None, float]] = {}

    @contextmanager
    def taking_part(self) -> Iterator[None]:
        """Renews this worker's lease for the time of the block, and then gives back what it has not trained."""
        for folder in (self._claims, self._workers):
            folder.mkdir(parents=True, exist_ok=True)
        own = self._workers / self._name
        try:
            with lease.renewed(own, every=min(lease.RENEW_SECONDS, self._lost_seconds / 6)):
                yield
        finally:
            for number in self._mine:
                if not self.is_over(number):
                    (self._claims / str(number)).unlink(missing_ok=True)
            own.unlink(missing_ok=True)

    def is_mine(self, number: int) -> bool:
        """Says whether this process has taken a trial."""
        return number in self._mine

    def is_over(self, number: int) -> bool:
        """Says whether it is known what became of a trial."""
        return self._result(number).is_file()

    def is_left(self, number: int) -> bool:
        """See `Shares`."""
        if self.is_over(number):
            return False
        holder = text_of(self._claims / str(number))
        return holder is None or self._is_lost(number, holder)

    def take(self, number: int) -> bool:
        """See `Shares`."""
        claim = self._claims / str(number)
        holder = text_of(claim)
        if not self.is_left(number):
            return False
        if holder is not None and text_of(claim) == holder:
            claim.unlink(missing_ok=True)
        try:
            with claim.open("x", encoding="utf-8") as file:
                file.write(self._name)
        except FileExistsError:
            return False
        self._mine.add(number)
        # It may have ended between the two looks.
        return not self.is_over(number)

    def leave(self, trial: Trial) -> None:
        """Tells the others what became of a trial; its logits are there by then."""
        write_text(self._result(trial.number), trial.model_dump_json())

    def result(self, number: int) -> Trial | None:
        """What became of a trial; None where that is not known.

        Raises:
            RunError: The file is none of a trial.
        """
        content = text_of(self._result(number))
        if content is None:
            return None
        try:
            return Trial.model_validate_json(content)
        except ValueError as error:
            raise RunError(f"{self._result(number)}: expected a trial; delete the file to train it again") from error

    def _result(self, number: int) -> Path:
        return self._folder / f"{number}.json"

    def _is_lost(self, number: int, holder: str) -> bool:
        """Says whether a worker has not renewed its lease since this one has looked for long enough."""
        if holder == self._name:
            return False
        lease_of = text_of(self._workers / holder) if holder else None
        before = self._seen.get((number, holder))
        if before is None or before[0] != lease_of:
            self._seen[number, holder] = lease_of, time.monotonic()
            return False
        return time.monotonic() - before[1] >= self._lost_seconds
