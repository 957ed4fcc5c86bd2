"""Gathers what the model card says from what the components before the Pusher left behind."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from tfx import types
from tfx.components.example_gen.utils import FINGERPRINT_PROPERTY_NAME
from tfx.types import artifact_utils

from finetune.artifacts.example_list import ExampleList
from finetune.artifacts.findings import ServingFindings, Verdict
from finetune.artifacts.ingest_report import IngestReport
from finetune.artifacts.pushed_version import CardData, ModelCard
from finetune.artifacts.split_digests import SplitDigests
from finetune.artifacts.training_history import TrainingHistory
from registry.learned_from import of_model
from registry.model_card import environment
from registry.versions import newest_version, read_record


def learned_from(examples: str, model_run: str, directory: Path) -> SplitDigests | None:
    """Returns what a model learned from: train and val, and all that the champion did where it began with that one.

    Args:
        examples: Folder of the examples.
        model_run: Folder of the training's history.
        directory: Folder of versions; the newest is the champion.

    Returns:
        None where an earlier version of ours wrote the examples.
    """
    listed = ExampleList.find(examples)
    if listed is None:
        return None
    start = TrainingHistory.read(model_run).start
    champion = newest_version(directory) if start and start.weights == "champion" else None
    found = (of_model(directory, read_record(champion).model_sha256) if champion else None) or SplitDigests()
    splits = zip(listed.digests, listed.splits, strict=True)
    found.update(SplitDigests({digest: split for digest, split in splits if split in ("train", "val")}))
    return found


def gather(inputs: Mapping[str, list[types.Artifact]], settings: Mapping[str, Any], digest: str) -> ModelCard:
    """Returns the card of the model of this digest, from the Pusher's inputs and settings."""
    ingest = IngestReport.read(artifact_utils.get_single_uri(inputs["examples"]))
    history = TrainingHistory.read(artifact_utils.get_single_uri(inputs["model_run"]))
    verdict = Verdict.read(artifact_utils.get_single_uri(inputs["verdict"]))
    serving = ServingFindings.read(artifact_utils.get_single_uri(inputs["serving"]))
    examples = artifact_utils.get_single_instance(inputs["examples"])
    return ModelCard(
        name=settings["name"],
        created_at=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        model_sha256=digest,
        report_only=verdict.report_only,
        backbone=history.backbone,
        data=CardData(
            fingerprint=examples.get_string_custom_property(FINGERPRINT_PROPERTY_NAME),
            splits={name: split.examples for name, split in ingest.splits.items()},
            classes=ingest.classes,
        ),
        phases=history.phases,
        metrics=verdict.metrics,
        baselines=verdict.baselines,
        serving=serving.metrics,
        gates=verdict.gates,
        environment=environment(),
    )
