"""What is looked at before a runner is given work: servers that answer, and workers that can do it."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from finetune.config import load_config
from finetune.errors import RunError
from pipeline.beam import probe
from pipeline.beam.arguments import beam_arguments
from pipeline.beam.reachable import unreachable
from pipeline.local import run_pipeline

RECIPE = Path(__file__).parents[2] / "configs" / "digits.yaml"


def problems(**beam: object) -> list[str]:
    return unreachable(load_config(RECIPE, [f"beam={json.dumps(beam)}"]))


@pytest.fixture
def listening() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.fixture
def closed() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


@pytest.mark.parametrize(
    ("runner", "option"),
    [
        ("flink", "flink_master={}"),
        ("flink", "flink_master=http://{}"),
        ("flink", "job_endpoint={}"),
        ("spark", "spark_rest_url=http://{}"),
        ("spark", "job_endpoint={}"),
        ("prism", "job_endpoint={}"),
    ],
)
def test_servers_have_to_answer(runner, option, listening, closed):
    given = f"--{option.format(f'127.0.0.1:{listening}')}"
    assert problems(runner=runner, args=[given]) == []
    given = f"--{option.format(f'127.0.0.1:{closed}')}"
    (problem,) = problems(runner=runner, args=[given])
    assert problem.startswith(f"beam.args: got {given}; expected ")
    assert "nothing answers there (Connection refused)" in problem


@pytest.mark.parametrize("address", ["flink", "[local]", "flink:port", ""])
def test_what_is_no_address_is_said(address):
    (problem,) = problems(runner="flink", args=[f"--flink_master={address or '::'}"])
    assert "that is not `host:port`" in problem


def test_the_pool_of_prism_has_to_answer_and_that_of_a_cluster_is_its_own_affair(listening, closed):
    pool = ["--environment_type=EXTERNAL", f"--environment_config=127.0.0.1:{closed}"]
    (problem,) = problems(runner="prism", args=pool)
    assert "expected a pool of SDK workers, and nothing answers there" in problem
    assert problems(runner="flink", args=[f"--flink_master=127.0.0.1:{listening}", *pool]) == []


def test_the_program_prism_has_to_be_there(tmp_path):
    component = {"Transform": {"runner": "prism", "args": [f"--prism_location={tmp_path / 'prism'}"]}}
    (problem,) = problems(components=component)
    assert problem.startswith("beam.components.Transform.args: got --prism_location=")


def test_a_run_stops_before_its_first_node(tmp_path, closed, heard):
    beam = {"runner": "flink", "args": [f"--flink_master=127.0.0.1:{closed}"]}
    config = load_config(RECIPE, [f"beam={json.dumps(beam)}", f"output_dir={tmp_path}", f"data.root={tmp_path}"])
    with pytest.raises(RunError, match="expected the REST address of a Flink cluster"):
        run_pipeline(config)
    assert heard == []
    assert not (tmp_path / "runs").exists()


@pytest.fixture
def check(tmp_path, load):
    config = load({"name": "a", "data": {"root": "a"}, "backbone": {"name": "SmallCNN", "weights": "random"}})
    return lambda *paths: probe.check_workers(beam_arguments(config.beam), str(tmp_path / "run"), paths)


def test_workers_that_are_like_this_process_pass_and_leave_nothing(check, tmp_path):
    check(str(tmp_path))
    assert list((tmp_path / "run").iterdir()) == []


def test_workers_have_to_see_what_they_read(check, tmp_path):
    with pytest.raises(RunError, match=r"the workers see nothing at /nowhere/data\. Mount it where they run"):
        check(str(tmp_path), "/nowhere/data")


def test_workers_have_to_share_the_folder_of_the_run(check, monkeypatch):
    monkeypatch.setattr(probe, "look", lambda paths, target: None)
    with pytest.raises(RunError, match=r"the workers do not share .*/run: what one wrote there is not seen here"):
        check()


def test_workers_have_to_run_the_same_code(check, monkeypatch):
    told = iter([{"code": "theirs"}, {"code": "ours"}])
    monkeypatch.setattr(probe, "facts", lambda: next(told))
    with pytest.raises(RunError, match="run something else: code theirs there, ours here"):
        check()


def test_workers_have_to_have_the_package(check, monkeypatch):
    def without(paths: object, target: object) -> None:
        raise ModuleNotFoundError("No module named 'pipeline'")

    monkeypatch.setattr(probe, "look", without)
    with pytest.raises(RunError, match=r"the workers lack a package of this environment.*No module named 'pipeline'"):
        check()
