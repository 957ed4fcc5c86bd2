"""The intermediate representation (IR) of a task's nodes as text for a command line, and back."""

from __future__ import annotations

import base64
import zlib
from typing import Any


def pack(ir: Any) -> str:
    """The IR of a task's nodes as text for a command line."""
    return base64.b64encode(zlib.compress(ir.SerializeToString(deterministic=True), 9)).decode()


def unpack(text: str) -> Any:
    """The IR that `pack` packed."""
    from tfx.proto.orchestration import pipeline_pb2

    return pipeline_pb2.Pipeline.FromString(zlib.decompress(base64.b64decode(text)))
