"""Tries a task again where that may help. What KFP retries are pods that were lost.

Each attempt is a process of its own, so that its memory, its devices and its crash end with it. KFP has no way to say
which failures are worth another attempt, and its pauses end with Argo's window.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterable
from typing import Any

from finetune import termination
from finetune.errors import FinetuneError

# What an attempt ends with when another may succeed: sysexits' "temporary failure, the user is invited to retry".
MAY_PASS = os.EX_TEMPFAIL

_logger = logging.getLogger(__name__)
# Nothing that was imported is imported again.
_fork = multiprocessing.get_context("fork")


def code_of(failure: FinetuneError | None) -> int:
    """The exit code of an attempt that failed, by our error in it; None is an error of somebody else's."""
    if failure is None or failure.worth_retrying:
        return MAY_PASS
    return failure.exit_code


def run_attempts(attempt: Callable[[], int], pauses: Iterable[float]) -> int:
    """Runs an attempt in a process of its own, and again while that may help.

    Args:
        attempt: Returns its exit code; MAY_PASS asks for another. So does a death by a signal.
        pauses: Seconds before each further attempt.

    Returns:
        The exit code of the task.
    """
    child: Any = None

    def pass_on(number: int, frame: Any) -> None:
        if child is not None and child.is_alive():
            child.terminate()
            child.join()
        raise SystemExit(termination.EXIT_CODE)

    before = signal.signal(signal.SIGTERM, pass_on)
    try:
        for pause in (*pauses, None):
            child = _fork.Process(target=_exit_with, args=(attempt,))
            child.start()
            child.join()
            code = child.exitcode
            if code >= 0 and code != MAY_PASS:
                return int(code)
            why = f"was killed by signal {-code}; of SIGKILL, memory is the usual cause" if code < 0 else "failed"
            if pause is not None:
                _logger.warning("the attempt %s; the next begins in %d s", why, pause)
                time.sleep(pause)
        _logger.error("the attempt %s; no attempt is left", why)
        return FinetuneError.exit_code
    finally:
        signal.signal(signal.SIGTERM, before)


def _exit_with(attempt: Callable[[], int]) -> None:
    termination.listen()
    raise SystemExit(attempt())
