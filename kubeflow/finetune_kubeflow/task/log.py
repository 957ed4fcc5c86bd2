"""What a pod writes to its log: events as JSON lines, and everything else that is logged."""

from __future__ import annotations

import json
import logging
import sys

# More often than a log can be read; the live view of a local run shows them.
_UNLOGGED = ("step",)


def log_to_stderr() -> None:
    """Sends events and everything else that is logged to standard error, where a container's log is read from."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_EventLines("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    handler.addFilter(lambda record: getattr(record, "event", {}).get("kind") not in _UNLOGGED)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)


class _EventLines(logging.Formatter):
    """Events as JSON lines, everything else as usual."""

    def format(self, record: logging.LogRecord) -> str:
        event = getattr(record, "event", None)
        return json.dumps(event, default=str) if event else super().format(record)
