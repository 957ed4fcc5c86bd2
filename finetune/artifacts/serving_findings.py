"""`serving.json`: what the ServingGate found when it served the exported model."""

from __future__ import annotations

from typing import ClassVar

from finetune.artifacts.base import Artifact
from finetune.artifacts.findings import GateResult


class ServingFindings(Artifact):
    """What was measured of the exported model.

    Attributes:
        model_sha256: Digest of the model, as it was served.
        refusal: Why it cannot be served, as a clause; empty if it can.
        metrics: By name; what could not be measured is missing.
        champion_metrics: The same of the champion; None when there is none.
        champion_refusal: Why the champion cannot be served; empty if it can.
        milliseconds: Of each request, by model and batch size.
        gates: Those on the exported model.
    """

    FILE: ClassVar[str] = "serving.json"

    model_sha256: str
    refusal: str = ""
    metrics: dict[str, float] = {}
    champion_metrics: dict[str, float] | None = None
    champion_refusal: str = ""
    milliseconds: dict[str, dict[int, list[float]]] = {}
    gates: list[GateResult] = []
