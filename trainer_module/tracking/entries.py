"""What a tracker is told: entries, each true for good, so that it can be told again."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from finetune.artifacts.base import Record


class RunBegins(Record):
    """A run begins, or goes on; `run` is the name that entries know it by, `parent` that of the search it is of."""

    kind: Literal["run_begins"] = "run_begins"
    run: str
    title: str
    parent: str = ""
    parameters: dict[str, str] = {}


class Numbers(Record):
    """Numbers of one step, which were measured at a time in seconds since 1970."""

    kind: Literal["numbers"] = "numbers"
    run: str
    values: dict[str, float]
    step: int
    at: float


class Picture(Record):
    """A picture; `png` is its file in base64."""

    kind: Literal["picture"] = "picture"
    run: str
    name: str
    png: str


class RunEnds(Record):
    """A run ends; one that failed may go on later."""

    kind: Literal["run_ends"] = "run_ends"
    run: str
    succeeded: bool
    at: float


class Outcome(Record):
    """What the pipeline says of a run's model: metrics of the test split, status, files by path, texts by name."""

    kind: Literal["outcome"] = "outcome"
    run: str
    metrics: dict[str, float]
    status: str
    files: list[str] = []
    texts: dict[str, str] = {}
    at: float


class Candidate(Record):
    """A run's model, which was judged: it becomes a version of the registered model of this name.

    `folder` holds it, `digest` is that of its files.
    """

    kind: Literal["candidate"] = "candidate"
    run: str
    model: str
    folder: str
    digest: str
    status: str


class Served(Record):
    """The registered model of this name may be served by another version: what the folder of versions says counts."""

    kind: Literal["served"] = "served"
    model: str
    versions: str


Entry = RunBegins | Numbers | Picture | RunEnds | Outcome | Candidate | Served

ENTRIES: TypeAdapter[Entry] = TypeAdapter(Annotated[Entry, Field(discriminator="kind")])
