"""Dotted keys, such as `training.phases[1].epochs`: the one reader and writer of that form."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

Part = str | int

_PART = re.compile(r"([^.\[\]]+)|\[(\d+)\]")


def parse(key: str) -> list[Part]:
    """Returns the names and places in lists that a dotted key is made of, at least one.

    Raises:
        ValueError: It is no dotted key; a sentence says what one looks like.
    """
    parts: list[Part] = [name or int(index) for name, index in _PART.findall(key)]
    if not parts or isinstance(parts[0], int) or join(parts) != key:
        raise ValueError(f"{key!r}: expected a dotted key, such as training.phases[1].epochs")
    return parts


def join(parts: Iterable[Part]) -> str:
    """Returns the dotted key that is made of these parts."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in parts).lstrip(".")


def value_at(raw: Any, key: str) -> Any:
    """Returns what a raw config holds at a dotted key; None where it holds nothing."""
    for part in parse(key):
        if isinstance(part, int):
            raw = raw[part] if isinstance(raw, list) and part < len(raw) else None
        else:
            raw = raw.get(part) if isinstance(raw, dict) else None
    return raw


def set_at(raw: dict[str, Any], key: str, value: Any) -> None:
    """Sets a dotted key of a raw config in place; sections that are missing are made.

    Raises:
        ValueError: It is no dotted key, or leads through something without such keys or entries.
    """
    parts = parse(key)
    place: Any = raw
    for depth, part in enumerate(parts):
        here = join(parts[:depth]) or "the config"
        if isinstance(part, int):
            if not isinstance(place, list) or part >= len(place):
                length = len(place) if isinstance(place, list) else "no"
                raise ValueError(f"{key}: {here} is given with {length} entries in the file; there is no [{part}]")
        elif not isinstance(place, dict):
            raise ValueError(f"{key}: {here} holds {place!r}, which has no keys")
        if depth == len(parts) - 1:
            place[part] = value
        elif isinstance(part, int):
            place = place[part]
        else:
            if place.get(part) is None:
                place[part] = {}
            place = place[part]
