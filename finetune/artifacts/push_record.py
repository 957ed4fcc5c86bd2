"""`push.json`: who pushed a version, when and why; it lies in the version's folder."""

from __future__ import annotations

from typing import ClassVar

from finetune.artifacts.base import Artifact


class PushRecord(Artifact):
    """What a pushed version says of itself.

    Attributes:
        at: When it was written, ISO 8601.
        model_sha256: Digest of the model.
        pipeline: Name of the pipeline.
        model_uri: The Trainer's artifact that it was copied from.
        judged_against: The version that was served when it was judged; None while there was none.
        keep: How many versions an approval leaves.
        approved_by, approved_at: Of a model that waited; empty for another.
        rolled_back_to: The version that this one repeats; None for another.
        by: Who rolled back.
    """

    FILE: ClassVar[str] = "push.json"

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


class ChampionPointer(PushRecord):
    """`champion.json`: which version is served, and what it says of itself; a copy for other tools to read."""

    FILE: ClassVar[str] = "champion.json"

    version: int
