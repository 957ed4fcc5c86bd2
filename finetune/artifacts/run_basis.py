"""`basis.json`: what the answer of a run rests on, so that a later run knows whether it holds still."""

from __future__ import annotations

from finetune.artifacts.base import Artifact


class RunBasis(Artifact, file="basis.json"):
    """What went into a run, and what it left outside its own folder.

    Attributes:
        inputs: Digest of each thing that went in, by a name such as `data`.
        outside: Digest of paths, sizes and times of the data, by which the ingest of pictures knows them.
        pushed: Digest of what the file system says of the folder of pushed versions.
        artifacts: Folders that the nodes left, or found in the cache.
    """

    inputs: dict[str, str]
    outside: str = ""
    pushed: str
    artifacts: list[str]
