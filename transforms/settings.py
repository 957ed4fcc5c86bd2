"""What Transform has to know of a backbone. No TensorFlow here."""

from __future__ import annotations

from typing import Any

from finetune.run_time import plain
from transforms.backbone import Backbone
from transforms.modalities import MODALITIES


def transform_settings(record: Backbone) -> dict[str, Any]:
    """Returns what preprocessing depends on, as plain data with run-time values in it.

    There is nothing else in it, so that no other change reruns Transform.
    """
    return plain({"modality": record.modality, **MODALITIES[record.modality].settings(record)})
