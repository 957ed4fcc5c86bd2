"""What all sections of a config share: the base model, and kinds of values that several of them use."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from finetune.errors import did_you_mean


class Section(BaseModel):
    """The base of every section: unknown keys are mistakes, numbers are finite, and nothing changes after reading."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


LocalPath = Annotated[str, Field(min_length=1), AfterValidator(lambda path: str(Path(path).expanduser()))]
UrlOrPath = Annotated[
    str, Field(min_length=1), AfterValidator(lambda text: text if "://" in text else str(Path(text).expanduser()))
]


def name_in(names: Iterable[str]) -> AfterValidator:
    """Returns a validator that accepts the given names alone; others raise ValueError with the nearest of them."""
    known = tuple(names)

    def check(name: str) -> str:
        if name not in known:
            raise ValueError(f"expected {', '.join(map(repr, known))}.{did_you_mean(name, known)}")
        return name

    return AfterValidator(check)
