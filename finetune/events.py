"""What a running component tells the person who watches: plain dicts on one standard-library logger.

A component in a container has nobody listening but its log; on a laptop the live view is the listener.
"""

from __future__ import annotations

import logging

LOGGER_NAME = "finetune.progress"

_logger = logging.getLogger(LOGGER_NAME)
_logger.setLevel(logging.INFO)


def emit(kind: str, **fields: object) -> None:
    """Sends one event. `finetune_cli/live_view.py` lists the kinds and the fields that it shows."""
    _logger.info(kind, extra={"event": {"kind": kind, **fields}})
