"""Keys that an earlier version had, and what they are called now. Each is an error that names the new one."""

from __future__ import annotations

import re

# Old -> new. `[]` stands for any entry of a list, as in `training.phases[].rate`.
RENAMED: dict[str, str] = {
    "training.micro_batches": "training.gradient_accumulation_steps",
    "training.cache_trunk": "training.frozen_features.cache",
    "training.trunk_cache": "training.frozen_features",
}


def new_name(key: str) -> str | None:
    """Returns what a dotted key is called now, with the same places in lists; None if it was never another."""
    places = iter(re.findall(r"\[\d+\]", key))
    now = RENAMED.get(re.sub(r"\[\d+\]", "[]", key))
    return re.sub(r"\[\]", lambda _: next(places), now) if now else None
