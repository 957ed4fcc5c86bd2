"""Which examples a pushed model learned from: kept beside the versions as long as its model is."""

from __future__ import annotations

import hashlib

import pytest

from components.champion.choice import learned_from
from components.pusher import facts
from finetune.artifacts.example_list import ExampleList, ListedExample
from finetune.artifacts.pushed_version import PushRecord
from finetune.artifacts.split_digests import SplitDigests
from finetune.artifacts.training_history import BackboneOrigin, Start, TrainingHistory
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


def left_by_a_run(folder, name: str, weights: str | None):
    """What ingest and Trainer leave of a run that trains on one example, validates on another and tests on a third."""
    listed = [ListedExample(f"{each}.png", 1, 0, sha(each), ("a",), split) for each, split in name_splits(name)]
    ExampleList.of(listed).write(folder)
    backbone = BackboneOrigin(name="SmallCNN", source="random", sha256=None)
    start = Start(weights=weights, sentence="") if weights else None
    TrainingHistory(phases=[], curves=[], backbone=backbone, start=start).write(folder)
    return str(folder), str(folder)


def name_splits(name: str) -> list[tuple[str, str]]:
    return [(name, "train"), (f"{name} val", "val"), (f"{name} test", "test"), (f"{name} left out", "")]


@pytest.mark.parametrize(("weights", "inherits"), [("champion", True), ("backbone", False), (None, False)])
def test_one_that_began_with_the_champion_has_learned_what_that_one_did(tmp_path, model, weights, inherits):
    directory = tmp_path / "pushed"
    push(directory, model("a"))
    found = facts.learned_from(*left_by_a_run(tmp_path / "run", "b", weights), directory)
    assert [found.get(sha(each)) for each, _ in name_splits("b")] == ["train", "val", None, None]
    assert found.get(sha("a")) == ("train" if inherits else None)


def test_examples_of_an_earlier_version_of_ours_have_no_list(tmp_path):
    (tmp_path / "run").mkdir()
    assert facts.learned_from(str(tmp_path / "run"), str(tmp_path / "run"), tmp_path / "pushed") is None
