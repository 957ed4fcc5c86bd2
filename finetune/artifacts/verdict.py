"""`verdict.json`: what the GateKeeper decided, and all that it measured."""

from __future__ import annotations

from typing import ClassVar

from finetune.artifacts.base import Artifact
from finetune.artifacts.findings import Findings, GateResult


class Verdict(Findings, Artifact):
    """The verdict on a candidate.

    Attributes:
        passed: Whether all gates did.
        blessed: Whether it goes out.
        report_only: Whether it goes out although it did not pass.
        gates: In their order.
    """

    FILE: ClassVar[str] = "verdict.json"

    schema_version: int = 2
    passed: bool
    blessed: bool
    report_only: bool
    gates: list[GateResult]
