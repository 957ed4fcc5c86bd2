"""The section of a config that says whom the outcome of a run is told."""

from __future__ import annotations

from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

from finetune.config.base import Section


def _web_address(text: str) -> str:
    """Takes the URL of a web server without credentials in it."""
    try:
        parts = urlsplit(text)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        valid = False
    if not valid or not text.isprintable() or " " in text:
        raise ValueError("expected a URL such as https://ci.example.org/finetune")
    if parts.username or parts.password:
        # Reports show the config.
        raise ValueError("expected a URL without a user in it; the secret comes from FINETUNE_NOTIFY_SECRET")
    return text


class NotifyConfig(Section):
    """A webhook that is told how each run ended; one that is down delays or fails no run."""

    url: Annotated[str, AfterValidator(_web_address)] | None = Field(
        None,
        description="gets a POST with JSON (outcome, exit code, cause, run id, version) when `run`, `retrain` or "
        "`check-data` ends; what could not be delivered is sent by a later run",
    )
    auth: Literal["hmac", "bearer"] = Field(
        "hmac",
        description="how the secret in the environment variable FINETUNE_NOTIFY_SECRET is used, where it is set: "
        "`hmac` signs the body with SHA-256 in the header X-Finetune-Signature, `bearer` sends the secret as a token",
    )
    seconds: float = Field(
        10, gt=0, le=300, description="that a run waits for the webhook at its end, all attempts together"
    )
