"""The section `beam`: what it accepts, and what it says of each node."""

from __future__ import annotations

import pytest

GOOD = {"name": "birds", "data": {"root": "birds"}, "backbone": {"name": "MobileNetV2", "weights": "random"}}
DATAFLOW = ["--project=p", "--region=r", "--temp_location=gs://b/t"]


def test_by_default_everything_runs_here(load):
    beam = load(GOOD).beam
    assert (beam.of("Transform").runner, beam.of("Transform").workers) == ("direct", None)


def test_a_component_has_what_it_says_as_a_whole(load):
    flink = {"runner": "flink", "workers": 8, "args": ["--flink_master=flink:8081"]}
    beam = load({**GOOD, "beam": {**flink, "components": {"StatisticsGen": {"workers": 1}}}}).beam
    assert (beam.of("Transform").runner, beam.of("Transform").workers) == ("flink", 8)
    assert (beam.of("StatisticsGen").runner, beam.of("StatisticsGen").args) == ("direct", [])


@pytest.mark.parametrize(
    ("section", "expected"),
    [
        ({"runner": "flin"}, "Did you mean 'flink'?"),
        ({"runner": "flink"}, "expects among `args`: --flink_master=flink-rest:8081 or --job_endpoint="),
        ({"runner": "spark"}, "expects among `args`: --spark_rest_url=http://spark:6066 or --job_endpoint="),
        ({"runner": "dataflow", "args": DATAFLOW}, "expects among `args`: --sdk_container_image="),
        ({"runner": "prism", "workers": 2}, "`workers` goes with direct, flink, dataflow"),
        ({"workers": 0}, "greater than or equal to 1"),
        ({"args": ["direct_num_workers=2"]}, "expected an option of Beam as `--name=value`"),
        ({"args": ["--direct_num_workers=2"]}, "`workers` says this"),
        ({"args": ["--runner=FlinkRunner"]}, "`runner` says this"),
        ({"args": ["--s3_secret_access_key=x"]}, "credentials come from the environment"),
        ({"components": {"Transform": {"runner": "flink"}}}, "beam.components.Transform: got"),
    ],
)
def test_what_cannot_be_is_said(problems, section, expected):
    (problem,) = problems({**GOOD, "beam": section})
    assert expected in problem
    assert problem.startswith("beam")


def test_a_credential_is_not_repeated(problems):
    (problem,) = problems({**GOOD, "beam": {"args": ["--s3_secret_access_key=hunter2"]}})
    assert "hunter2" not in problem
