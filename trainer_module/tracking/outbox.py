"""What a tracker is to write: kept until it is written, so that a server which is down for a while loses nothing."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from finetune.events import Note, emit

# Each attempt may take as long as a server takes to say nothing, and training waits for it.
FIRST_WAIT, LONGEST_WAIT = 10.0, 600.0
# An epoch writes two entries; what is older than these is dropped.
MOST_ENTRIES = 20_000


class Tracker(Protocol):
    """A tracker is somewhere that numbers go."""

    def log(self, values: Mapping[str, float], step: int, at: float) -> None:
        """Writes numbers of one step, which were measured at a time in seconds since 1970; twice does no harm."""

    def close(self, succeeded: bool) -> None:
        """Ends the run."""


@dataclass
class Outbox:
    """An outbox opens a tracker and hands it numbers in their order; what fails is tried again, later and later."""

    title: str  # Name of the tracker, for messages.
    open: Callable[[], Tracker]  # Opens it; may raise whatever it likes, and is tried again too.
    tracker: Tracker | None = None  # The tracker, once it is open.
    _entries: deque[tuple[Mapping[str, float], int, float]] = field(default_factory=lambda: deque(maxlen=MOST_ENTRIES))
    _dropped: int = 0
    _wait: float = 0.0
    _next_attempt: float = 0.0

    def log(self, values: Mapping[str, float], step: int) -> None:
        """Takes numbers of one step, and writes them and all that wait, unless the last attempt failed just now."""
        self._dropped += len(self._entries) == MOST_ENTRIES
        self._entries.append((values, step, time.time()))
        if time.monotonic() >= self._next_attempt:
            self.deliver()

    def deliver(self) -> bool:
        """Tries to open the tracker and to write all that waits; says whether nothing waits any more."""
        try:
            if self.tracker is None:
                self.tracker = self.open()
            while self._entries:
                self.tracker.log(*self._entries[0])
                self._entries.popleft()
        except Exception as error:
            self._fail(error)
            return False
        if self._wait:
            loss = f", but for the {self._dropped} oldest entries" if self._dropped else ""
            emit(Note(text=f"{self.title} is written to again, and has what it missed{loss}"))
            self._wait = self._dropped = 0
        return True

    def close(self, succeeded: bool) -> None:
        """Tries once more, ends the run, and says what could not be written."""
        if not self.deliver():
            lost = len(self._entries) + self._dropped
            self._warn(f"{self.title} was not reached: {lost} entries were not written")
        try:
            if self.tracker is not None:
                self.tracker.close(succeeded)
        except Exception as error:
            self._warn(f"{self.title} could not be closed: {type(error).__name__}: {error}")

    def _fail(self, error: Exception) -> None:
        if not self._wait:
            reason = f"{type(error).__name__}: {error}"
            self._warn(f"{self.title} cannot be written to and is tried again; training goes on: {reason}")
        self._wait = min(2 * self._wait or FIRST_WAIT, LONGEST_WAIT)
        self._next_attempt = time.monotonic() + self._wait

    def _warn(self, text: str) -> None:
        emit(Note(level="warning", text=" ".join(text.split())[:300]))
