"""How far a pass over the data is."""

from __future__ import annotations

import threading
import time

from finetune import events

SECONDS_BETWEEN_EVENTS = 2.0


class Progress:
    """Counts finished items of one pass and emits an event every two seconds, and at its begin and end.

    Beam gives its workers copies of what it runs, so a running pass is reached through the class, not an instance.
    Workers in other processes have no running pass: their steps are not seen, and only begin and end are told.
    """

    _current: Progress | None = None

    def __init__(self, component: str, total: int, unit: str):
        """Args:
        component: Id of the node.
        total: Items to come.
        unit: Plural of an item, such as `files`.
        """
        self._component, self._total, self._unit = component, total, unit
        self._done = 0
        self._lock = threading.Lock()
        self._last_event = time.monotonic()

    def __enter__(self) -> Progress:
        Progress._current = self
        self._emit()
        return self

    def __exit__(self, error_type: type | None, *_: object) -> None:
        Progress._current = None
        if error_type is None:
            self._done = self._total
            self._emit()

    @staticmethod
    def step(items: int = 1) -> None:
        """Adds finished items to the pass that runs in this process, if one does."""
        current = Progress._current
        if current is None:
            return
        with current._lock:
            current._done += items
            if time.monotonic() - current._last_event >= SECONDS_BETWEEN_EVENTS:
                current._emit()

    def _emit(self) -> None:
        self._last_event = time.monotonic()
        told = events.Progress(component=self._component, done=self._done, total=self._total, unit=self._unit)
        events.emit(told)
