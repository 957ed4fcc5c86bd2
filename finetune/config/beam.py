"""The section of a config that says what runs the stages that read data: Apache Beam, here or on a cluster.

What is said here decides where and how fast a stage runs and never what it writes, so none of it enters a cache key.
"""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from finetune.config.base import Section

Runner = Literal["direct", "prism", "flink", "spark", "dataflow"]

# Options of Beam that a key of ours says.
_KEYS = {
    "runner": "runner",
    "direct_num_workers": "workers",
    "direct_running_mode": "workers",
    "parallelism": "workers",
    "max_num_workers": "workers",
    "num_workers": "workers",
}
# What each runner cannot start without: one of these options of Beam, each with an example.
_NEEDED: dict[Runner, list[dict[str, str]]] = {
    "direct": [],
    "prism": [],
    "flink": [{"flink_master": "flink-rest:8081", "job_endpoint": "flink-job-server:8099"}],
    "spark": [{"spark_rest_url": "http://spark:6066", "job_endpoint": "spark-job-server:8099"}],
    "dataflow": [
        {"project": "my-project"},
        {"region": "europe-west1"},
        {"temp_location": "gs://my-bucket/temp"},
        {"sdk_container_image": "europe-docker.pkg.dev/my-project/finetune/beam:1"},
    ],
}
# An option that holds a credential: its name, and the value.
CREDENTIAL = re.compile(r"(--\w*(?:secret|token|password|access_key|connection_string)\w*[= ]).+", re.DOTALL)
_SCALED = ("direct", "flink", "dataflow")


def _check_argument(text: str) -> str:
    match = re.fullmatch(r"--(no_)?([a-z0-9_]+)(=.+)?", text, re.DOTALL)
    if not match:
        raise ValueError("expected an option of Beam as `--name=value`, or `--name` for one without a value")
    name = match[2]
    if name in _KEYS:
        raise ValueError(f"`{_KEYS[name]}` says this; leave --{name} out")
    if CREDENTIAL.match(text):
        raise ValueError(
            "credentials come from the environment of whoever runs and of the workers, never from a config"
        )
    return text


class BeamRunner(Section):
    """What runs one stage."""

    runner: Runner = Field(
        "direct",
        description="`direct`: this machine; `prism`: Beam's portable runner; `flink`, `spark`, `dataflow`: a cluster",
    )
    workers: int | None = Field(
        None,
        ge=1,
        le=10_000,
        description="direct: processes, by default as many CPUs as there are where the data are large; flink: "
        "parallelism; dataflow: the most workers. spark and prism have a number of their own",
    )
    args: list[Annotated[str, AfterValidator(_check_argument)]] = Field(
        [], description="further options of Beam, such as `--flink_master=flink-rest:8081`"
    )

    @model_validator(mode="after")
    def _has_what_the_runner_needs(self) -> BeamRunner:
        if self.workers is not None and self.runner not in _SCALED:
            raise ValueError(
                f"`workers` goes with {', '.join(_SCALED)}; {self.runner} has a number of workers of its own"
            )
        given = {name for name, _ in self.options}
        for choices in _NEEDED[self.runner]:
            if not given & set(choices):
                examples = " or ".join(f"--{name}={example}" for name, example in choices.items())
                raise ValueError(f"runner `{self.runner}` expects among `args`: {examples}")
        return self

    @property
    def options(self) -> list[tuple[str, str]]:
        """Names and values of `args`; an option without a value has an empty one."""
        return [(name, value) for name, _, value in (text[2:].partition("=") for text in self.args)]


class BeamConfig(BeamRunner):
    """What runs the Beam stages: ingest of pictures, statistics, Transform, evaluation, inference of the test split."""

    components: dict[str, BeamRunner] = Field({}, description="per node of the DAG, what runs it instead")

    def of(self, node_id: str) -> BeamRunner:
        """Returns what runs a node: what `components` says, as a whole, or else this section."""
        return self.components.get(node_id, self)
