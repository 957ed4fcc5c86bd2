"""The sections of a config about serving and pushing."""

from __future__ import annotations

from pydantic import Field

from finetune.config.base import BucketOrPath, LocalPath, Section


class ServingConfig(Section):
    """How the ServingGate serves the exported model before it is pushed."""

    binary: LocalPath | None = Field(
        None,
        description="name or path of `tensorflow_model_server`, where the gate runs; default: a Python process with "
        "TensorFlow alone",
    )
    timeout_seconds: float = Field(
        180, gt=0, le=86400, description="for the start, and for each answer; a model that takes longer is refused"
    )
    measure_seconds: float = Field(
        10,
        gt=0,
        le=3600,
        description="time spent on measuring the latencies and throughputs that gates ask for, candidate and champion "
        "together; a batch size that no gate asks about takes a second",
    )


class PushConfig(Section):
    """Where a blessed model goes."""

    directory: BucketOrPath | None = Field(
        None,
        description="folder of numbered versions, as TensorFlow Serving reads it, here or in a bucket (`s3://`, "
        "`gs://`); default: <output_dir>/pushed",
    )
    keep: int = Field(5, ge=1, description="versions left after a push, the newest ones; `finetune rollback` needs 2")
