"""What Transform has to know of a backbone. No TensorFlow here."""

from __future__ import annotations

from typing import Any

from finetune.config import BackboneConfig
from finetune.run_time import FileDigest, plain
from transforms.backbones import record_of


def transform_settings(config: BackboneConfig) -> dict[str, Any]:
    """Returns what preprocessing depends on, as plain data with run-time values in it.

    There is nothing else in it, so that no other change reruns Transform.
    """
    record = record_of(config)
    if record.modality == "image":
        return {"modality": "image", "image_size": record.image_size}
    if config.name:
        path = vocabulary_path(config)
        return plain(
            {
                "modality": "text",
                "vocabulary": path,
                "vocabulary_sha256": FileDigest(path=path),
                "unknown_words": config.text.unknown_words,
                "max_words": config.text.max_words,
            }
        )
    preprocessor = config.text.preprocessor
    local = preprocessor and "://" not in preprocessor
    return plain(
        {
            "modality": "text",
            "preprocessor": preprocessor,
            "preprocessor_sha256": FileDigest(path=preprocessor) if local else None,
        }
    )


def vocabulary_path(config: BackboneConfig) -> str:
    """The table whose words are known."""
    return config.text.vocabulary or config.weights
