"""What Transform has to know of a backbone. No TensorFlow here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from finetune.digests import sha256_of
from transforms.backbone import Backbone


def transform_settings(record: Backbone) -> dict[str, Any]:
    """Returns what preprocessing depends on, and nothing else, so that no other change reruns it."""
    if record.modality == "image":
        return {"modality": "image", "image_size": record.image_size}
    settings = {"modality": record.modality, **record.preprocessing}
    for name in ("vocabulary", "preprocessor"):
        if name in settings:
            path = settings[name]
            local = path and "://" not in path
            settings[f"{name}_sha256"] = sha256_of(Path(path)) if local else None
    return settings
