"""Values that a compiled package leaves open until a node runs, because they belong to the place where it runs.

    <<root>>             the folder that all nodes share
    <<runtime KEY>>      the run's value of a config key
    <<code PACKAGE...>>  digest of the code that runs, as TFX's cache needs it
    <<sha256 FILE>>      digest of a file there; null when there is no such file

They stand in strings of TFX's intermediate representation, also in JSON within such a string.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from google.protobuf.message import Message

ROOT = "<<root>>"
_TOKEN = re.compile(r"<<(\w+) ?([^<>]*)>>")

Resolver = Callable[[str, str], Any]


def runtime(key: str) -> str:
    """Stands for the run's value of a config key."""
    return f"<<runtime {key}>>"


def code(packages: tuple[str, ...]) -> str:
    """Stands for the digest of packages of ours."""
    return f"<<code {' '.join(packages)}>>"


def sha256(path: str) -> str:
    """Stands for the digest of a file; the path may hold a late value itself."""
    return f"<<sha256 {path}>>"


def tokens(message: Message) -> set[str]:
    """The late values in a message, the innermost where they are nested."""
    found: set[str] = set()

    def collect(text: str) -> str:
        found.update(match[0] for match in _TOKEN.finditer(text))
        return text

    map_strings(message, collect)
    return found


def resolve(message: Message, resolver: Resolver) -> None:
    """Replaces every late value in place.

    Args:
        message: Any protobuf message.
        resolver: Gives the value for the two parts of a late value, such as `runtime` and `data.root`.
    """
    map_strings(message, lambda text: _resolve_text(text, resolver))


def map_strings(message: Message, change: Callable[[str], str]) -> None:
    """Applies a function to every string in a message, in place; the inside of an `Any` is left alone."""
    for field, value in message.ListFields():
        if field.message_type and field.message_type.GetOptions().map_entry:
            for key in list(value):
                if isinstance(value[key], Message):
                    map_strings(value[key], change)
                elif isinstance(value[key], str):
                    value[key] = change(value[key])
        elif isinstance(value, Message):
            map_strings(value, change)
        elif isinstance(value, str):
            setattr(message, field.name, change(value))
        elif not isinstance(value, bytes | int | float):
            for index, item in enumerate(value):
                if isinstance(item, Message):
                    map_strings(item, change)
                elif isinstance(item, str):
                    value[index] = change(item)


def map_json(text: str, change: Callable[[Any], Any]) -> str:
    """Applies a function to the JSON value that a string holds; a string that holds none is left alone."""
    if not text.startswith(("{", "[")):
        return text
    try:
        value = json.loads(text)
    except ValueError:
        return text
    changed = change(value)
    return text if changed == value else json.dumps(changed, sort_keys=True)


def _resolve_text(text: str, resolver: Resolver) -> str:
    if not _TOKEN.search(text):
        return text
    in_json = map_json(text, lambda value: _resolve_value(value, resolver))
    return in_json if in_json != text else str(_resolve_value(text, resolver))


def _resolve_value(value: Any, resolver: Resolver) -> Any:
    """A string that is one late value becomes that value with its type; within a longer string, its text."""
    if isinstance(value, dict):
        return {key: _resolve_value(item, resolver) for key, item in value.items()}
    if isinstance(value, list):
        return [_resolve_value(item, resolver) for item in value]
    if not isinstance(value, str):
        return value
    while match := _TOKEN.search(value):
        resolved = resolver(match[1], match[2])
        if match[0] == value:
            return resolved
        value = value[: match.start()] + str(resolved) + value[match.end() :]
    return value
