"""What a tracker is to be told, until it has been: in a thread of its own, so that nobody waits for a slow one."""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from finetune.events import Note, emit
from trainer_module.tracking.entries import Entry
from trainer_module.tracking.journal import Journal, waiting

# Between attempts, in seconds: twice as long after each, up to the longest.
FIRST_WAIT, LONGEST_WAIT = 10.0, 300.0
# How long the end of a training or of a run waits for a tracker; the rest is for the next run.
CLOSING_SECONDS = 15.0


class RefusedError(Exception):
    """Says that a tracker will never take an entry."""


class Tracker(Protocol):
    """A tracker is somewhere that entries go."""

    def take(self, entry: Entry) -> None:
        """Writes an entry; twice does no harm.

        Raises:
            RefusedError: It will never be taken.
        """

    def close(self) -> None:
        """Leaves everything on the disk."""


class Outbox:
    """An outbox opens a tracker and hands it entries in their order; what fails is tried again, later and later."""

    def __init__(self, title: str, opened: Callable[[], Tracker], journal: Journal | None = None):
        """Begins with what a journal holds.

        Args:
            title: Name of the tracker, for messages.
            opened: Opens it; may raise whatever it likes, and is tried again too.
            journal: Keeps what is to be delivered; others in its folder are delivered first. None keeps nothing.
        """
        self.title = title
        self._opened = opened
        self._journal = journal
        self._entries: list[Entry] = list(journal.entries) if journal else []
        self._tracker: Tracker | None = None
        self._sent = 0
        self._wait = self._next_attempt = 0.0
        self._told_of_disk = False
        self._closing = False
        self._wake = threading.Event()
        self._thread = threading.Thread(target=self._work, name=f"{title} outbox", daemon=True)

    def start(self) -> None:
        """Begins to deliver, in a thread."""
        self._thread.start()

    def put(self, entry: Entry) -> None:
        """Takes an entry; neither waits for the tracker nor raises."""
        try:
            if self._journal:
                self._journal.add(entry)
        except (OSError, ValueError) as error:
            if not self._told_of_disk:
                self._told_of_disk = True
                self._warn(f"what {self.title} is to have is kept in memory alone: {error}")
        self._entries.append(entry)
        self._wake.set()

    def close(self, seconds: float = CLOSING_SECONDS) -> bool:
        """Delivers what is left, for so many seconds at most; says whether all was delivered."""
        self._closing = True
        self._wake.set()
        self._thread.join(seconds)
        if left := len(self._entries) - self._sent:
            later = "wait for the next run" if self._journal else "are lost"
            self._warn(f"{self.title} was not reached in time; entries that {later}: {left}")
        return not left

    def deliver(self) -> bool:
        """Tries to open the tracker and to hand over all that waits; says whether nothing waits any more."""
        try:
            if self._tracker is None:
                # One that was lost may have lost what it had.
                self._sent = 0
                self._tracker = self._opened()
                self._deliver_others(self._tracker)
            while self._sent < len(self._entries):
                self._hand_over(self._tracker, self._entries[self._sent])
                self._sent += 1
        except Exception as error:
            self._fail(error)
            return False
        if self._wait:
            self._wait = 0.0
            emit(Note(text=f"{self.title} is written to again, and has what it missed"))
        return True

    def deliver_if_due(self) -> bool:
        """Does so unless the last attempt failed just now."""
        return time.monotonic() >= self._next_attempt and self.deliver()

    def _work(self) -> None:
        self.deliver()
        while not self._closing:
            pending = self._sent < len(self._entries)
            self._wake.wait(max(self._next_attempt - time.monotonic(), 0.1) if pending else None)
            self._wake.clear()
            if not self._closing:
                self.deliver_if_due()
        done = self.deliver()
        with suppress(Exception):
            if self._tracker:
                self._tracker.close()
        if self._journal:
            with suppress(OSError):
                if done:
                    self._journal.delivered()
            self._journal.release()

    def _deliver_others(self, tracker: Tracker) -> None:
        """Delivers what earlier processes left in the folder of the journal."""
        if self._journal:
            deliver_waiting(self._journal.folder, lambda entry: self._hand_over(tracker, entry))

    def _hand_over(self, tracker: Tracker, entry: Entry) -> None:
        try:
            tracker.take(entry)
        except RefusedError as error:
            self._warn(f"{self.title} does not take {entry.kind}: {error}")

    def _fail(self, error: Exception) -> None:
        self._tracker = None
        if not self._wait:
            self._warn(f"{self.title} cannot be written to and is tried again: {type(error).__name__}: {error}")
        self._wait = min(2 * self._wait or FIRST_WAIT, LONGEST_WAIT)
        self._next_attempt = time.monotonic() + self._wait

    def _warn(self, text: str) -> None:
        emit(Note(level="warning", text=" ".join(without_secrets(text).split())[:300]))


def deliver_waiting(folder: Path, take: Callable[[Entry], None]) -> None:
    """Has each entry of the journals that wait in a folder taken, and removes them."""
    for journal in waiting(folder):
        for entry in journal.entries:
            take(entry)
        journal.delivered()


def without_secrets(text: str, names: Iterable[str] = ("MLFLOW_TRACKING_TOKEN", "MLFLOW_TRACKING_PASSWORD")) -> str:
    """Returns a text without the values of these variables, and without what stands before the host in a URL."""
    for name in names:
        if secret := os.environ.get(name, ""):
            text = text.replace(secret, "...")
    return re.sub(r"//[^/@\s]+@", "//...@", text)
