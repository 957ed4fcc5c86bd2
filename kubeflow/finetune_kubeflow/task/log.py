"""What a pod writes to its log: events as JSON lines, and everything else that is logged."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from finetune.events import lines_to, subscribe


@contextmanager
def logs_to_stderr() -> Iterator[None]:
    """Sends events and everything else that is logged to standard error, where a container's log is read from."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)
    # Pages of types of TFX's that it has no hint for.
    logging.getLogger("apache_beam.typehints.native_type_compatibility").setLevel(logging.WARNING)
    with subscribe(lines_to(sys.stderr)):
        yield
