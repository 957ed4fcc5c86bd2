"""Values that are known only where a node runs: what the DAG says, and what becomes of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from finetune.digests import sha256_of
from finetune.errors import ConfigError
from finetune.run_time import (
    CodeDigest,
    ConfigValue,
    FileDigest,
    Place,
    SharedPath,
    as_parameter,
    plain,
    resolve,
    values_in,
)

HERE = Path("/mnt/shared")


def place(root: Path = HERE, **values: object) -> Place:
    return Place(root, lambda modules: f"code of {', '.join(modules)}", values)


def through_json(parameters: object) -> object:
    """What a node gets: the parameters were written as JSON in between."""
    return json.loads(json.dumps(plain(parameters)))


def test_a_value_keeps_its_type():
    said = through_json({"seed": ConfigValue(key="seed"), "list": [ConfigValue(key="flag"), 1], "none": None})
    assert resolve(said, place(seed=5, flag=True)) == {"seed": 5, "list": [True, 1], "none": None}


def test_a_value_is_data_and_no_text_to_paste_into():
    said = through_json({"root": ConfigValue(key="data.root"), "seed": 1})
    assert resolve(said, Place(HERE, str, {"data.root": 'a", "seed": "b'})) == {"root": 'a", "seed": "b', "seed": 1}


def test_paths_are_below_the_shared_folder_unless_they_are_absolute():
    said = through_json([SharedPath(path="runs/x"), SharedPath(path="/models")])
    assert resolve(said, place()) == ["/mnt/shared/runs/x", "/models"]


def test_the_digest_of_a_file_is_that_of_the_file_where_the_node_runs(tmp_path: Path):
    (tmp_path / "w.h5").write_bytes(b"weights")
    said = through_json([FileDigest(path="w.h5"), FileDigest(path=ConfigValue(key="w")), FileDigest(path="absent")])
    digest = sha256_of(tmp_path / "w.h5")
    assert resolve(said, place(tmp_path, w="w.h5")) == [digest, digest, None]


def test_the_digest_of_code_is_the_places():
    assert resolve(through_json(CodeDigest(modules=("a.b", "c"))), place()) == "code of a.b, c"


def test_a_missing_value_is_named():
    with pytest.raises(ConfigError, match=r"^training\.seed: no value for this run"):
        resolve(through_json({"x": ConfigValue(key="training.seed")}), place())


@pytest.mark.parametrize(
    "data", [{"run_time": 0.5, "cat": 2.0}, {"run_time": "never"}, "run_time", ["shared_path"], {}]
)
def test_data_that_only_look_alike_are_left_alone(data: object):
    assert resolve(data, place()) == data
    assert not list(values_in(data))


def test_what_is_left_open_can_be_listed_also_within_others():
    said = through_json({"a": [FileDigest(path=ConfigValue(key="w"))], "b": SharedPath(path="x")})
    assert list(values_in(said)) == [FileDigest(path=ConfigValue(key="w")), ConfigValue(key="w"), SharedPath(path="x")]


def test_a_parameter_is_a_text_or_becomes_one():
    assert as_parameter("photos") == "photos"
    assert resolve(json.loads(as_parameter(SharedPath(path="x"))), place()) == "/mnt/shared/x"
