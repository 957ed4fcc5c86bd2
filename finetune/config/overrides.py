"""One `key=value` of the command line, applied to what the file says."""

from __future__ import annotations

from typing import Any

from yaml import YAMLError

from finetune.config import keys, strict_yaml


def apply_override(raw: dict[str, Any], override: str) -> None:
    """Sets one dotted key in place; the value is read as YAML.

    Raises:
        ValueError: It is no `key=value`, or its key leads nowhere; a sentence says which.
    """
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise ValueError(f"{override!r}: expected key=value, such as training.seed=2")
    try:
        value = strict_yaml.parse(text) if text else ""
    except YAMLError:
        raise ValueError(f"{key}: the value {text!r} is not valid YAML") from None
    keys.set_at(raw, key, value)
