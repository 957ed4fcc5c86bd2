"""What a task is given as text for a command line, and back: the IR of its nodes, a config, files of code."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Mapping
from typing import Any

from finetune.config import Config, keys
from finetune.config.load import checked_config


def pack(ir: Any) -> str:
    """The intermediate representation (IR) of a task's nodes as text."""
    return _packed(ir.SerializeToString(deterministic=True))


def unpack(text: str) -> Any:
    """The IR that `pack` packed."""
    from tfx.proto.orchestration import pipeline_pb2

    return pipeline_pb2.Pipeline.FromString(_unpacked(text))


def pack_config(config: Config) -> str:
    """A config as text."""
    return pack_text(config.model_dump_json())


def unpack_config(text: str, values: Mapping[str, Any]) -> Config:
    """The config that `pack_config` packed, with other values of some keys.

    Raises:
        ConfigError: A value is not one that its key takes.
    """
    raw = json.loads(unpack_text(text))
    for key, value in values.items():
        keys.set_at(raw, key, value)
    return checked_config(raw)


def pack_text(text: str) -> str:
    """A text, shorter."""
    return _packed(text.encode())


def unpack_text(text: str) -> str:
    """The text that `pack_text` packed."""
    return _unpacked(text).decode()


def _packed(data: bytes) -> str:
    return base64.b64encode(zlib.compress(data, 9)).decode()


def _unpacked(text: str) -> bytes:
    return zlib.decompress(base64.b64decode(text))
