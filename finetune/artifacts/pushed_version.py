"""What lies beside a pushed model: who pushed it, which version is served, and the card that says what it is."""

from __future__ import annotations

from finetune.artifacts.base import Artifact, Record
from finetune.artifacts.findings import GateResult, Measured
from finetune.artifacts.run_summary import SignedApproval
from finetune.artifacts.training_history import BackboneOrigin, PhaseRow

# Custom properties of the PushedModel artifact, beside TFX's own `pushed` and `pushed_destination`.
MODEL_SHA256 = "model_sha256"
PENDING_MODEL = "pending_model"


class PushRecord(Artifact, file="push.json"):
    """`push.json` in a version's folder: what the version says of itself; times are ISO 8601.

    Attributes:
        model_uri: The Trainer's artifact that it was copied from.
        judged_against: The version that was served when it was judged; None while there was none.
        keep: How many versions an approval leaves.
        rolled_back_to: The version that this one repeats, as `by` asked for; None for another.
    """

    at: str = ""
    model_sha256: str = ""
    pipeline: str = ""
    model_uri: str = ""
    judged_against: int | None = None
    keep: int | None = None
    approved_by: str = ""
    approved_at: str = ""
    rolled_back_to: int | None = None
    by: str = ""


class ChampionPointer(PushRecord, file="champion.json"):
    """`champion.json`: which version is served, and what it says of itself; a copy for other tools to read."""

    version: int


class CardData(Record):
    """The data that a model learned from; `fingerprint` identifies them, `splits` counts examples."""

    fingerprint: str = ""
    splits: dict[str, int] = {}
    classes: list[str] = []


class ModelCard(Artifact, file="model_card.json"):
    """`model_card.json`: what a pushed model is, what it learned from, and why it was let out.

    `name` is that of the pipeline, `created_at` ISO 8601, `serving` has the metrics of the exported model, and
    `environment` the versions of what made it. `report_only` says that it was pushed although a gate failed.
    """

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
