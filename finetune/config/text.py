"""The section of a config that says how texts become what a backbone takes."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from finetune.config.base import LocalPath, Section, UrlOrPath


class TextConfig(Section):
    """How texts become what the backbone takes: ids of words for a table of vectors, or a preprocessor's output."""

    max_words: int = Field(128, ge=1, le=4096, description="table: of a text; those after them are left out")
    unknown_words: Literal["skip", "average"] | Annotated[int, Field(ge=1, le=1_000_000)] = Field(
        "skip",
        description="table: other words: `skip` leaves them out, `average` gives them the mean of all vectors, "
        "and a number that many vectors to share by their hash, which start there and are learned",
    )
    vocabulary: LocalPath | None = Field(
        None, description="table whose words are known, when `backbone.weights` is `random`; default: the weights"
    )
    preprocessor: UrlOrPath | None = Field(
        None,
        description="handles of BERT style: URL or folder of the SavedModel that makes ids and masks of texts",
    )
