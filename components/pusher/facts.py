"""Gathers what the model card says from what the components before the Pusher left behind."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from tfx import types
from tfx.components.example_gen.utils import FINGERPRINT_PROPERTY_NAME
from tfx.types import artifact_utils

from components.example_gen.component import REPORT_NAME
from components.gate_keeper.component import VERDICT_FILE
from components.serving_gate.component import RESULT_FILE
from registry.model_card import environment
from trainer_module.recipe import HISTORY_FILE


def gather(inputs: Mapping[str, list[types.Artifact]], settings: Mapping[str, Any], digest: str) -> dict[str, Any]:
    """Returns the card's content (see `registry.model_card.markdown`).

    Args:
        inputs: Of the Pusher.
        settings: Of the Pusher.
        digest: Of the model.
    """
    ingest = _json(inputs["examples"], REPORT_NAME)
    splits = ingest.get("splits", {})
    history = _json(inputs["model_run"], HISTORY_FILE)
    verdict = _json(inputs["verdict"], VERDICT_FILE)
    return {
        "name": settings["name"],
        "created_at": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "model_sha256": digest,
        "report_only": verdict["report_only"],
        "backbone": history.get("backbone"),
        "data": {
            "fingerprint": artifact_utils.get_single_instance(inputs["examples"]).get_string_custom_property(
                FINGERPRINT_PROPERTY_NAME
            ),
            "splits": {name: split["examples"] for name, split in splits.items()},
            "classes": sorted({name for split in splits.values() for name in split.get("classes", {})}),
        },
        "phases": history.get("phases", []),
        "metrics": verdict["metrics"],
        "baselines": verdict["baselines"],
        "serving": _json(inputs["serving"], RESULT_FILE).get("metrics", {}),
        "gates": verdict["gates"],
        "environment": environment(),
    }


def _json(artifacts: list[types.Artifact], name: str) -> dict[str, Any]:
    path = Path(artifact_utils.get_single_uri(artifacts), name)
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
