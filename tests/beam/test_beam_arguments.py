"""Options of Beam that a config becomes, against Beam's own option classes."""

from __future__ import annotations

from typing import Any

import pytest
from apache_beam.options.pipeline_options import (
    DirectOptions,
    FlinkRunnerOptions,
    GoogleCloudOptions,
    PipelineOptions,
    PortableOptions,
    SetupOptions,
    SparkRunnerOptions,
    StandardOptions,
    WorkerOptions,
)
from apache_beam.runners.runner import create_runner

from finetune.config.beam import BeamRunner
from pipeline.beam.arguments import beam_arguments, direct_arguments, direct_workers

FLINK = "--flink_master=flink-rest:8081"
SPARK = "--spark_rest_url=http://spark:6066"
DATAFLOW = (
    "--project=birds",
    "--region=europe-west1",
    "--temp_location=gs://birds/temp",
    "--sdk_container_image=registry/birds:1",
)
POOL = {"environment_type": "EXTERNAL", "environment_config": "localhost:50000"}


def options_of(runner: str, *args: str, workers: int | None = None) -> PipelineOptions:
    """Beam's options of a stage, of which Beam knows every one."""
    arguments = beam_arguments(BeamRunner(runner=runner, args=list(args), workers=workers))
    options = PipelineOptions(arguments)
    known = options.get_all_options()
    unknown = options.get_all_options(retain_unknown_options=True).keys() - known.keys()
    assert not unknown
    return options


def values(options: PipelineOptions, view: type[PipelineOptions], *names: str) -> dict[str, Any]:
    return {name: getattr(options.view_as(view), name) for name in names}


@pytest.mark.parametrize(
    ("runner", "args"),
    [("direct", ()), ("prism", ()), ("flink", (FLINK,)), ("spark", (SPARK,)), ("dataflow", DATAFLOW)],
)
def test_beam_has_the_runner(runner: str, args: tuple[str, ...]):
    name = options_of(runner, *args).view_as(StandardOptions).runner
    assert type(create_runner(name)).__name__ == name.rpartition(".")[2]


@pytest.mark.parametrize(("workers", "mode"), [(1, "in_memory"), (3, "multi_processing")])
def test_direct_runs_as_many_processes_as_workers(workers: int, mode: str):
    options = options_of("direct", workers=workers)
    wanted = {"direct_num_workers": workers, "direct_running_mode": mode}
    assert values(options, DirectOptions, *wanted) == wanted
    assert beam_arguments(BeamRunner()) + direct_arguments(workers) == beam_arguments(BeamRunner(workers=workers))


def test_flink_takes_the_job_as_one_file_and_runs_python_in_the_pool_beside_each_worker():
    options = options_of("flink", FLINK, workers=16)
    wanted = {"flink_master": "flink-rest:8081", "parallelism": 16, "flink_submit_uber_jar": True}
    assert values(options, FlinkRunnerOptions, *wanted) == wanted
    assert values(options, PortableOptions, *POOL) == POOL


def test_spark_does_too():
    options = options_of("spark", SPARK)
    wanted = {"spark_rest_url": "http://spark:6066", "spark_submit_uber_jar": True}
    assert values(options, SparkRunnerOptions, *wanted) == wanted
    assert values(options, PortableOptions, *POOL) == POOL


def test_dataflow_runs_the_given_image_as_it_is():
    options = options_of("dataflow", *DATAFLOW, workers=50)
    wanted = {"project": "birds", "region": "europe-west1", "temp_location": "gs://birds/temp"}
    assert values(options, GoogleCloudOptions, *wanted) == wanted
    assert values(options, WorkerOptions, "max_num_workers", "sdk_container_image") == {
        "max_num_workers": 50,
        "sdk_container_image": "registry/birds:1",
    }
    assert options.view_as(SetupOptions).sdk_location == "container"


@pytest.mark.parametrize("runner", ["flink", "spark"])
def test_a_job_server_gets_no_option_of_a_job_as_one_file(runner: str):
    options = options_of(runner, "--job_endpoint=jobs:8099")
    assert options.view_as(PortableOptions).job_endpoint == "jobs:8099"
    assert not options.view_as(FlinkRunnerOptions).flink_submit_uber_jar
    assert not options.view_as(SparkRunnerOptions).spark_submit_uber_jar


def test_what_the_config_says_of_the_workers_replaces_the_default():
    docker = {"environment_type": "DOCKER", "environment_config": "registry/birds:1"}
    options = options_of("flink", FLINK, *(f"--{name}={value}" for name, value in docker.items()))
    assert values(options, PortableOptions, *docker) == docker


@pytest.mark.parametrize(("examples", "cpus", "workers"), [(0, 8, 1), (1500, 8, 1), (20_000, 8, 8), (10**6, 1, 1)])
def test_processes_are_started_where_they_pay(examples: int, cpus: int, workers: int):
    assert direct_workers(examples, cpus) == workers
