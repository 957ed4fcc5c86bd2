"""Examples to show: the most confident mistakes and hits."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

from PIL import Image

from finetune.artifacts.evaluation_results import Sample
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


def drawn_samples(data: ReportData, draw: Callable[[Sample], Image.Image | None]) -> dict[str, Any] | None:
    """Returns `samples` with pictures that are drawn; those whose files are gone, of which there is None, stay."""
    found = samples(data)
    if found is None:
        return None
    kinds = ("mistakes", "correct")
    return {**found, **{kind: [{**row, **_drawn(draw(row["sample"]))} for row in found[kind]] for kind in kinds}}


def _drawn(picture: Image.Image | None) -> dict[str, str]:
    if picture is None:
        return {}
    content = io.BytesIO()
    picture.save(content, "JPEG", quality=85)
    return {"image": f"data:image/jpeg;base64,{base64.b64encode(content.getvalue()).decode('ascii')}"}


def previewed(example: Preview) -> dict[str, str]:
    """Returns `image` and `sound` of an example as data URIs."""
    return {"image": as_data_uri(example.image), "sound": as_data_uri(example.sound)}


def as_data_uri(path: str | None) -> str:
    """Returns the file at a path as a data URI; empty when it is gone, or is no JPEG, PNG or FLAC."""
    content = Path(path).read_bytes() if path and Path(path).is_file() else b""
    kind = next((kind for start, kind in TYPES.items() if content.startswith(start)), None)
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}" if kind else ""
