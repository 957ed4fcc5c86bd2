"""The artifact that a decision to train or not is, for whoever finds or reads one."""

from __future__ import annotations

from tfx import types

from components.champion.drifted import DECISION_TYPE


class DecisionFolder(types.Artifact):
    """Folder with `decision.json`."""

    TYPE_NAME = DECISION_TYPE
