"""What Transform has to know of a backbone. No TensorFlow here."""

from __future__ import annotations

from typing import Any

from finetune.run_time import FileDigest, plain
from transforms.backbone import Backbone


def transform_settings(record: Backbone) -> dict[str, Any]:
    """Returns what preprocessing depends on, as plain data with run-time values in it.

    There is nothing else in it, so that no other change reruns Transform.
    """
    if record.modality == "image":
        return plain({"modality": "image", "image_size": record.image_size})
    settings = {"modality": record.modality, **record.preprocessing}
    for name in ("vocabulary", "preprocessor"):
        if name in settings:
            path = settings[name]
            local = path and "://" not in path
            settings[f"{name}_sha256"] = FileDigest(path=path) if local else None
    return plain(settings)
