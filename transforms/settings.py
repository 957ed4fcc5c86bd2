"""What Transform has to know of a backbone. No TensorFlow here."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from pipeline.config import BackboneConfig
from transforms.backbones import backbone_record


def transform_settings(config: BackboneConfig) -> dict[str, Any]:
    """Returns what preprocessing depends on, and nothing else, so that no other change reruns it."""
    record = backbone_record(config.name)
    if record.modality == "image":
        return {"modality": "image", "image_size": config.image_size or record.image_size}
    path = vocabulary_path(config)
    digest = hashlib.sha256(Path(path).read_bytes()).hexdigest() if Path(path).is_file() else None
    return {
        "modality": "text",
        "vocabulary": path,
        "vocabulary_sha256": digest,
        "unknown_words": config.text.unknown_words,
        "max_words": config.text.max_words,
    }


def vocabulary_path(config: BackboneConfig) -> str:
    """The table whose words are known."""
    return config.text.vocabulary or config.weights
