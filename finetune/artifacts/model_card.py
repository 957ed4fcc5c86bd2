"""`model_card.json`: what a pushed model is, what it learned from, and why it was let out."""

from __future__ import annotations

from typing import ClassVar

from finetune.artifacts.base import Artifact, Record
from finetune.artifacts.findings import GateResult, Measured
from finetune.artifacts.run_summary import SignedApproval
from finetune.artifacts.training_history import BackboneOrigin, PhaseRow


class CardData(Record):
    """The data that a model learned from; `fingerprint` identifies them, `splits` counts examples."""

    fingerprint: str = ""
    splits: dict[str, int] = {}
    classes: list[str] = []


class ModelCard(Artifact):
    """The card that lies beside a pushed model.

    Attributes:
        name: Of the pipeline.
        created_at: When, ISO 8601.
        model_sha256: Digest of the model.
        report_only: Whether it was pushed although a gate failed.
        approval: Of a model that waited.
        metrics: On the test split, by name.
        baselines: Metrics by baseline.
        serving: Metrics of the exported model.
        environment: Versions of what made it.
    """

    FILE: ClassVar[str] = "model_card.json"

    name: str
    created_at: str
    model_sha256: str
    report_only: bool = False
    approval: SignedApproval | None = None
    backbone: BackboneOrigin | None = None
    data: CardData = CardData()
    phases: list[PhaseRow] = []
    metrics: dict[str, Measured] = {}
    baselines: dict[str, dict[str, float]] = {}
    serving: dict[str, float] = {}
    gates: list[GateResult] = []
    environment: dict[str, str] = {}
