"""What Transform has to know of a backbone. No TensorFlow here."""

from __future__ import annotations

from typing import Any

from transforms.backbone import Backbone
from transforms.modalities import MODALITIES


def transform_settings(record: Backbone) -> dict[str, Any]:
    """Returns what preprocessing depends on, and nothing else, so that no other change reruns it."""
    return {"modality": record.modality, **MODALITIES[record.modality].settings(record)}
