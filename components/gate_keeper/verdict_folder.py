"""The artifact that a verdict is, for whoever makes, finds or reads one."""

from __future__ import annotations

from tfx import types

from components.champion.looks import VERDICT_TYPE


class VerdictFolder(types.Artifact):
    """Folder with `verdict.json`."""

    TYPE_NAME = VERDICT_TYPE
