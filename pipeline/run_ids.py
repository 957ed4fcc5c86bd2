"""Ids of runs, which sort by time and say when a run began."""

from __future__ import annotations

from datetime import datetime, timezone

_FORM = "%Y%m%dT%H%M%S.%fZ"


def new_run_id() -> str:
    """Returns an id of now."""
    return run_id_of(datetime.now(timezone.utc))


def run_id_of(start: datetime) -> str:
    """Returns the id of a run that began at a time (UTC)."""
    return start.strftime(_FORM)


def start_of(run_id: str) -> datetime | None:
    """Returns when a run began (UTC), by its id; None for what is not such an id."""
    try:
        return datetime.strptime(run_id, _FORM).replace(tzinfo=timezone.utc)
    except ValueError:
        return None
