"""The section of a config that says how much of earlier runs stays on the disk."""

from __future__ import annotations

from pydantic import Field

from finetune.config.base import Section


class KeepConfig(Section):
    """How much of earlier runs stays in `output_dir`; without either key all of it does."""

    runs: int | None = Field(
        None,
        ge=1,
        description="of the runs that were judged the newest so many, and as many of those that were not; older ones "
        "go when a run ends well, and with `finetune clean`. What a pushed version or a model that waits rests on "
        "always stays, and so does the newest run",
    )
    days: float | None = Field(None, gt=0, description="runs younger than this stay too; alone, older ones go")

    @property
    def is_set(self) -> bool:
        """Whether anything ever goes."""
        return self.runs is not None or self.days is not None
