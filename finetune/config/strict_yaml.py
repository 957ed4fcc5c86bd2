"""YAML in which a key that stands twice is a mistake; plain YAML silently keeps the last of the two."""

from __future__ import annotations

from typing import Any

import yaml


def parse(text: str) -> Any:
    """Returns what a YAML text holds, as plain data.

    Raises:
        yaml.YAMLError: It is no YAML, names Python objects, or has a key twice.
        TypeError: A key is a list or a mapping.
        RecursionError: It is nested too deep.
    """
    return yaml.load(text, _UniqueKeyLoader)


class _UniqueKeyLoader(yaml.SafeLoader):
    """Plain data alone."""


def _mapping_with_unique_keys(loader: yaml.SafeLoader, node: yaml.MappingNode) -> dict[Any, Any]:
    keys = [loader.construct_object(key, deep=True) for key, _ in node.value]
    twice = [str(key) for position, key in enumerate(keys) if key in keys[:position]]
    if twice:
        line = node.start_mark.line + 1
        raise yaml.constructor.ConstructorError(None, None, f"key {twice[0]!r} stands twice below line {line}")
    return loader.construct_mapping(node, deep=True)


_UniqueKeyLoader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping_with_unique_keys)
