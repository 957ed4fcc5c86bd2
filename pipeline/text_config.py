"""The section of a config that says how texts become what a backbone takes. A leaf: plain pydantic models."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

LocalPath = Annotated[str, Field(min_length=1), AfterValidator(lambda path: str(Path(path).expanduser()))]


class TextConfig(BaseModel):
    """How texts become ids: for a table of word vectors."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    max_words: int = Field(128, ge=1, le=4096, description="of a text; those after them are left out")
    unknown_words: Literal["skip", "average"] | Annotated[int, Field(ge=1, le=1_000_000)] = Field(
        "skip",
        description="words that the table lacks: `skip` leaves them out, `average` gives them the mean of all vectors, "
        "and a number that many vectors to share by their hash, which start there and are learned",
    )
    vocabulary: LocalPath | None = Field(
        None, description="table whose words are known, when `backbone.weights` is `random`; default: the weights"
    )
