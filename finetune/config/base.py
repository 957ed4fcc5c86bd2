"""What all sections of a config share: the base model, and kinds of values that several of them use."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from finetune.buckets import SCHEMES


class Section(BaseModel):
    """The base of every section: unknown keys are mistakes, numbers are finite, and nothing changes after reading."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


LocalPath = Annotated[str, Field(min_length=1), AfterValidator(lambda path: str(Path(path).expanduser()))]
UrlOrPath = Annotated[
    str, Field(min_length=1), AfterValidator(lambda text: text if "://" in text else str(Path(text).expanduser()))
]


def _in_a_bucket_or_here(text: str) -> str:
    """Takes a path of this machine, or a URL of a bucket without credentials in it."""
    if "://" not in text:
        return str(Path(text).expanduser())
    scheme, _, rest = text.partition("://")
    if scheme not in SCHEMES:
        raise ValueError(f"expected a path, or a URL that begins with {' or '.join(f'{name}://' for name in SCHEMES)}")
    if not re.fullmatch(r"[a-z0-9][a-z0-9._-]{1,220}(/.*)?", rest):
        raise ValueError("expected the name of a bucket and a path in it; credentials come from the environment")
    return text.rstrip("/")


BucketOrPath = Annotated[str, Field(min_length=1), AfterValidator(_in_a_bucket_or_here)]
