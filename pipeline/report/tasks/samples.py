"""Examples to show: the most confident mistakes and hits."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

from finetune.artifacts.preview import Preview
from finetune.artifacts.report_data import ReportData

MISTAKES_SHOWN = 24
CORRECT_SHOWN = 12
TYPES = {b"\xff\xd8\xff": "image/jpeg", b"\x89PNG\r\n\x1a\n": "image/png", b"fLaC": "audio/flac"}


def samples(data: ReportData) -> dict[str, Any] | None:
    """Returns `mistakes`, `correct` and the `total`, the most confident first, with files as data URIs."""
    if not data.samples:
        return None
    shown: list[dict[str, Any]] = [
        {"sample": sample, **previewed(sample), "file": Path(sample.path).name}
        for sample in sorted(data.samples, key=lambda sample: -sample.probability)
    ]
    mistakes = [row for row in shown if not row["sample"].correct]
    correct = [row for row in shown if row["sample"].correct]
    return {"mistakes": mistakes[:MISTAKES_SHOWN], "correct": correct[:CORRECT_SHOWN], "total": len(shown)}


def previewed(example: Preview) -> dict[str, str]:
    """Returns `image` and `sound` of an example as data URIs."""
    return {"image": as_data_uri(example.image), "sound": as_data_uri(example.sound)}


def as_data_uri(path: str | None) -> str:
    """Returns the file at a path as a data URI; empty when it is gone, or is no JPEG, PNG or FLAC."""
    content = Path(path).read_bytes() if path and Path(path).is_file() else b""
    kind = next((kind for start, kind in TYPES.items() if content.startswith(start)), None)
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}" if kind else ""
