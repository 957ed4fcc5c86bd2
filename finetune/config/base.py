"""What all sections of a config share: the base model, and kinds of values that several of them use."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field


class Section(BaseModel):
    """The base of every section: unknown keys are mistakes, numbers are finite, and nothing changes after reading."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


LocalPath = Annotated[str, Field(min_length=1), AfterValidator(lambda path: str(Path(path).expanduser()))]
UrlOrPath = Annotated[
    str, Field(min_length=1), AfterValidator(lambda text: text if "://" in text else str(Path(text).expanduser()))
]
