"""Which examples a pushed model learned from: kept beside the versions as long as its model is."""

from __future__ import annotations

import hashlib

import pytest

from components.champion.choice import learned_from
from finetune.artifacts.pushed_version import PushRecord
from finetune.artifacts.split_digests import SplitDigests
from finetune.errors import RunError
from registry.approval import approve, stage
from registry.learned_from import FOLDER
from registry.versions import model_digest, push_version, roll_back


def sha(name: object) -> str:
    return hashlib.sha256(str(name).encode()).hexdigest()


@pytest.fixture
def model(tmp_path):
    def make(name: str):
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        (folder / "saved_model.pb").write_text(name)
        return folder, PushRecord(model_uri=f"uri of {name}"), SplitDigests({sha(name): "train", sha(2): "val"})

    return make


def push(directory, made, keep=None):
    folder, record, digests = made
    return push_version(folder, directory, {}, record, keep, digests)[0]


def test_each_version_has_its_list_also_after_a_rollback(tmp_path, model):
    directory = tmp_path / "pushed"
    first = push(directory, model("a"))
    push(directory, model("b"))
    assert learned_from(directory, "uri of a").get(sha("a")) == "train"
    assert learned_from(directory, "uri of a").get(sha("b")) is None
    assert learned_from(directory, "uri of b").get(sha(2)) == "val"
    roll_back(directory)
    assert learned_from(directory, "uri of a").get(sha("a")) == "train"
    assert sorted(path.name for path in first.iterdir()) == ["push.json", "saved_model.pb"], "nothing in what is served"


def test_a_list_goes_with_the_last_version_of_its_model(tmp_path, model):
    directory = tmp_path / "pushed"
    for name in "abc":
        push(directory, model(name), keep=2)
    assert learned_from(directory, "uri of a") is None
    assert len(list((directory / FOLDER).iterdir())) == 2
    assert learned_from(directory, "uri of b").get(sha("b")) == "train"


def test_one_that_waits_for_approval_has_it_when_it_is_approved(tmp_path, model):
    directory = tmp_path / "pushed"
    push(directory, model("a"), keep=1)
    folder, record, digests = model("b")
    stage(folder, directory, {}, record, 1, digests)
    push_of_another = len(list((directory / FOLDER).iterdir()))
    assert push_of_another == 2
    approve(directory, model_digest(folder), "someone")
    assert learned_from(directory, "uri of b").get(sha("b")) == "train"


def test_what_was_not_kept_is_not_known(tmp_path, model):
    directory = tmp_path / "pushed"
    folder, record, _ = model("a")
    push_version(folder, directory, {}, record)
    assert learned_from(directory, "uri of a") is None
    assert learned_from(directory, "uri of another") is None
    assert learned_from(tmp_path / "absent", "uri of a") is None


def test_a_damaged_list_is_an_error_that_names_it(tmp_path, model):
    directory = tmp_path / "pushed"
    push(directory, model("a"))
    (path,) = (directory / FOLDER).iterdir()
    path.write_text("train ")
    with pytest.raises(RunError, match=r"\.learned_from/.*its end is missing"):
        learned_from(directory, "uri of a")
