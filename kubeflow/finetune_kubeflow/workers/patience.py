"""Calls of the Kubernetes API that bear a server that is away or busy for minutes, and one that starts."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any, TypeVar

import urllib3
from kubernetes import client

from finetune.errors import RunError

_logger = logging.getLogger(__name__)
_Result = TypeVar("_Result")

# To connect, and to answer.
TIMEOUTS = (10.0, 60.0)
PATIENCE_SECONDS = 600.0
# A server that has just started refuses everybody until it has read its roles.
REFUSAL_SECONDS = 60.0
_LONGEST_PAUSE_SECONDS = 30.0
_REFUSALS = (401, 403)
UNREACHABLE = (urllib3.exceptions.HTTPError, ConnectionError, TimeoutError)


def may_pass(error: Exception) -> bool:
    """Says whether an error is one of a server that is away, busy or starting."""
    if isinstance(error, client.ApiException):
        return bool(error.status in (0, 429) or error.status >= 500)
    return isinstance(error, UNREACHABLE)


def patiently(
    call: Callable[..., _Result], *arguments: Any, patience: float = PATIENCE_SECONDS, **options: Any
) -> _Result:
    """Calls the API, and again for as long as the server does not answer, up to `patience` seconds.

    Raises:
        RunError: It did not answer in that time.
        ApiException: It refused; for want of rights, for REFUSAL_SECONDS, which count anew after it was away.
    """
    start = time.monotonic()
    refused_since: float | None = None
    pause = 0.5
    while True:
        try:
            return call(*arguments, _request_timeout=TIMEOUTS, **options)
        except (client.ApiException, *UNREACHABLE) as error:
            now = time.monotonic()
            waited = now - start
            if getattr(error, "status", None) in _REFUSALS:
                if refused_since is None:
                    refused_since, pause = now, 0.5
                if now - refused_since > REFUSAL_SECONDS:
                    raise
            elif may_pass(error):
                refused_since = None
            else:
                raise
            reason = " ".join(str(getattr(error, "reason", None) or error).split())
            if waited > patience:
                raise RunError(f"the API server has not answered for {patience:g} s: {reason}") from error
            _logger.warning("the API server does not answer as it should (%s); it is asked again", reason)
        time.sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
