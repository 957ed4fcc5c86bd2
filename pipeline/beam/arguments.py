"""What a stage's section of the config means in options of Beam. No Beam here."""

from __future__ import annotations

from finetune.config.beam import BeamRunner, Runner

# Beam's own name `DirectRunner` stands, from 2.64 on, for whichever runner it finds, a download included.
IN_THIS_PROCESS = "apache_beam.runners.portability.fn_api_runner.FnApiRunner"
PROCESSES_PAY_FROM = 20_000
_RUNNERS: dict[Runner, str] = {
    "direct": IN_THIS_PROCESS,
    "prism": "PrismRunner",
    "flink": "FlinkRunner",
    "spark": "SparkRunner",
    "dataflow": "DataflowRunner",
}
# A pool of SDK workers beside each worker of the cluster, as the manifests have it.
_SIDECAR = ("--environment_type=EXTERNAL", "--environment_config=localhost:50000")
# What an option of ours is not set beside.
_DEFAULTS: dict[Runner, tuple[tuple[str, ...], ...]] = {
    "flink": (_SIDECAR, ("--flink_submit_uber_jar",)),
    "spark": (_SIDECAR, ("--spark_submit_uber_jar",)),
    # The image holds the SDK; without this, workers would fetch one from PyPI.
    "dataflow": (("--sdk_location=container",),),
}
_WORKERS: dict[Runner, str] = {"flink": "parallelism", "dataflow": "max_num_workers"}


def beam_arguments(stage: BeamRunner) -> list[str]:
    """Returns the options of Beam for a stage, those of its `args` last.

    Of `direct` they lack the number of workers, which depends on the place and the data: see `direct_arguments`.
    """
    given = {name for name, _ in stage.options}
    found = [f"--runner={_RUNNERS[stage.runner]}"]
    for group in _DEFAULTS.get(stage.runner, ()):
        names = {text[2:].partition("=")[0] for text in group}
        to_job_server = "job_endpoint" in given and any(name.endswith("_submit_uber_jar") for name in names)
        if not names & given and not to_job_server:
            found += group
    if stage.workers is not None and stage.runner in _WORKERS:
        found.append(f"--{_WORKERS[stage.runner]}={stage.workers}")
    if stage.workers is not None and stage.runner == "direct":
        found += direct_arguments(stage.workers)
    return found + stage.args


def direct_workers(examples: int, cpus: int) -> int:
    """Returns how many workers the direct runner has where the config does not say it.

    A process of its own imports TensorFlow for every job, 7 s of processor time or so. Measured with 1,500 pictures in
    this process and in two of their own, in seconds of processor time: ingest 5 and 33, statistics 4 and 19, Transform
    9 and 52. A picture takes 1 ms in ingest and 4 ms in Transform, so that two processors have the difference back at
    25,000 and at 10,000 pictures; more processors earlier.
    """
    return cpus if examples >= PROCESSES_PAY_FROM else 1


def direct_arguments(workers: int) -> list[str]:
    """Returns the options of the direct runner: one worker is this process, several are processes of their own."""
    mode = "in_memory" if workers == 1 else "multi_processing"
    return [f"--direct_num_workers={workers}", f"--direct_running_mode={mode}"]
