"""Pushing: whole versions or nothing, the same model once; going back; waiting for approval."""

from __future__ import annotations

import errno
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from finetune.artifacts.pushed_version import ChampionPointer, ModelCard, PushRecord
from finetune.errors import RunError
from registry import approval
from registry.model_card import card_files
from registry.versions import (
    PENDING,
    incoming_copy,
    model_digest,
    newest_version,
    push_version,
    read_record,
    roll_back,
    served_instead,
    versions,
)

ROOT = Path(__file__).parents[2]


@pytest.fixture
def model(tmp_path):
    folder = tmp_path / "model"
    (folder / "variables").mkdir(parents=True)
    (folder / "saved_model.pb").write_bytes(b"graph")
    (folder / "variables" / "data").write_bytes(b"weights" * 1000)
    return folder


def test_versions_count_up_and_hold_the_same_bytes(model, tmp_path):
    directory = tmp_path / "pushed"
    first, new = push_version(model, directory)
    assert (first.name, new) == ("1", True)
    (model / "saved_model.pb").write_bytes(b"another graph")
    second, _ = push_version(model, directory)
    assert second.name == "2"
    assert model_digest(second) == model_digest(model)
    assert (first / "saved_model.pb").read_bytes() == b"graph"


def test_the_same_model_is_pushed_once(model, tmp_path):
    directory = tmp_path / "pushed"
    first, _ = push_version(model, directory)
    again, new = push_version(model, directory)
    assert (again, new) == (first, False)
    assert versions(directory) == [1]


def test_versions_are_compared_as_numbers(model, tmp_path):
    directory = tmp_path / "pushed"
    for number in ("9", "10"):
        (directory / number).mkdir(parents=True)
    (directory / "notes").mkdir()
    assert push_version(model, directory)[0].name == "11"


def test_a_killed_copy_leaves_no_version_and_the_next_push_clears_it(model, tmp_path):
    directory = tmp_path / "pushed"
    code = (
        "import os, signal, shutil, sys; from pathlib import Path; import registry.versions as v; "
        "copy = shutil.copytree; "
        "v.shutil.copytree = lambda *a, **k: (copy(*a, **k), os.kill(os.getpid(), signal.SIGKILL)); "
        "v.push_version(Path(sys.argv[1]), Path(sys.argv[2]))"
    )
    done = subprocess.run([sys.executable, "-c", code, str(model), str(directory)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert versions(directory) == []
    assert any(name.startswith(".incoming") for name in os.listdir(directory))
    assert push_version(model, directory)[0].name == "1"
    assert not any(name.startswith(".incoming") for name in os.listdir(directory))


def test_pushers_at_the_same_time_make_one_version_each(model, tmp_path):
    directory = tmp_path / "pushed"
    models = []
    for number in range(4):
        models.append(tmp_path / f"model{number}")
        shutil.copytree(model, models[-1])
        (models[-1] / "saved_model.pb").write_bytes(b"%d" % number)
    threads = [threading.Thread(target=push_version, args=(one, directory)) for one in models]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert versions(directory) == [1, 2, 3, 4]
    assert {(directory / str(n) / "saved_model.pb").read_bytes() for n in range(1, 5)} == {b"0", b"1", b"2", b"3"}


def another(model, tmp_path, name: str):
    """A model like the first, with other bytes."""
    folder = tmp_path / name
    shutil.copytree(model, folder)
    (folder / "saved_model.pb").write_text(name)
    return folder


def served(directory) -> str:
    return (newest_version(directory) / "saved_model.pb").read_text()


def test_only_the_last_versions_are_kept(model, tmp_path):
    directory = tmp_path / "pushed"
    for name in "abcd":
        push_version(another(model, tmp_path, name), directory, keep=2)
    assert versions(directory) == [3, 4]
    assert served(directory) == "d"
    push_version(another(model, tmp_path, "e"), directory, keep=1)
    assert versions(directory) == [5]


def test_the_pointer_names_what_is_served(model, tmp_path):
    directory = tmp_path / "pushed"
    for name in "ab":
        push_version(another(model, tmp_path, name), directory, record=PushRecord(pipeline=name))
    pointer = ChampionPointer.read(directory)
    assert (pointer.version, pointer.pipeline) == (2, "b")
    assert pointer.model_sha256 == model_digest(tmp_path / "b") == model_digest(directory / "2")


def test_a_full_disk_leaves_the_versions_as_they_were(model, tmp_path, monkeypatch):
    directory = tmp_path / "pushed"
    push_version(model, directory)

    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(incoming_copy, "__defaults__", (full,))
    with pytest.raises(RunError, match=r"the disk is full\. Its versions are unharmed"):
        push_version(another(model, tmp_path, "b"), directory, keep=1)
    assert versions(directory) == [1]
    assert not list(directory.glob(".incoming*"))


def test_rolling_back_publishes_the_earlier_model_under_the_highest_number(model, tmp_path):
    directory = tmp_path / "pushed"
    for name in "abc":
        push_version(another(model, tmp_path, name), directory)
    version, of = roll_back(directory, by="ann")
    assert (version.name, of, served(directory)) == ("4", 2, "b")
    instead = [served_instead(directory / name) for name in "1234"]
    assert instead == [version, None, version, None], "2 has the model that 4 serves"
    assert read_record(version).rolled_back_to == 2
    assert read_record(version).by == "ann"
    assert read_record(directory / "2").rolled_back_to is None, "the links must not share the record"
    version, of = roll_back(directory)
    assert (version.name, of, served(directory)) == ("5", 1, "a"), "not back to the one that was just left"
    with pytest.raises(RunError, match="no model from before"):
        roll_back(directory)
    assert roll_back(directory, to=3)[0].name == "6"
    assert served(directory) == "c"
    assert roll_back(directory, to=3) == (directory / "6", 3), "asked twice, done once"
    push_version(another(model, tmp_path, "d"), directory, keep=2)
    assert versions(directory) == [6, 7]


def test_there_must_be_something_to_go_back_to(model, tmp_path):
    (tmp_path / "empty").mkdir()
    for name in ("absent", "empty"):
        with pytest.raises(RunError, match=f"{name} holds no version; expected the folder of versions"):
            roll_back(tmp_path / name)
    assert not any((tmp_path / "empty").iterdir())
    push_version(model, tmp_path / "pushed")
    with pytest.raises(RunError, match=r"--to: got 7; .* holds 1\."):
        roll_back(tmp_path / "pushed", to=7)


PUSH_AGAIN = """
import sys
from pathlib import Path
from registry.versions import push_version
directory, *models = map(Path, sys.argv[1:])
print("ready", flush=True)
for number in range(10_000):
    push_version(models[number % 2], directory, {"model_card.md": "card"}, keep=1)
    print(number, flush=True)
"""


def test_killed_at_twenty_random_moments_a_whole_version_is_on_top(model, tmp_path):
    """A pusher that pushes and prunes without pause is killed, 20 times, each time within what two pushes take."""
    directory = tmp_path / "pushed"
    for index in range(10):
        (model / "variables" / f"shard{index}").write_bytes(os.urandom(20_000))
    models = [another(model, tmp_path, name) for name in ("old", "new")]
    whole = {model_digest(one): one.name for one in models}
    push_version(models[0], directory)
    command = [sys.executable, "-c", PUSH_AGAIN, str(directory), *map(str, models)]
    moments = random.Random(7)
    found, interrupted = [], 0
    for _ in range(20):
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as pusher:
            assert pusher.stdout.readline() == "ready\n"
            start = time.monotonic()
            pusher.stdout.readline()
            pusher.stdout.readline()
            time.sleep(moments.uniform(0, time.monotonic() - start))
            pusher.kill()
        newest = newest_version(directory)
        found.append(whole.get(model_digest(newest)))
        assert (newest / "model_card.md").read_text() == "card" or newest.name == "1"
        interrupted += any(directory.glob(".incoming*")) or any(directory.glob(".outgoing*"))
        assert all(model_digest(directory / str(number)) in whole for number in versions(directory))
    print(f"served after the kill: {found}; {interrupted} of 20 kills left a copy or a removal half done")
    assert None not in found
    assert set(found) == {"old", "new"}
    assert interrupted
    push_version(models[0], directory, keep=1)
    assert not any(path.name.startswith((".incoming", ".outgoing")) for path in directory.iterdir())


CARD = ModelCard(name="flowers", created_at="2026-11-22", model_sha256="abc")


def staged(model, tmp_path, name: str):
    one = another(model, tmp_path, name)
    return approval.stage(one, tmp_path / "pushed", card_files(CARD), PushRecord(model_uri=name), keep=3), model_digest(
        one
    )


def test_a_model_waits_for_approval_and_is_published_once(model, tmp_path):
    directory = tmp_path / "pushed"
    waiting, digest = staged(model, tmp_path, "a")
    assert waiting == directory / PENDING / digest
    assert versions(directory) == []
    assert approval.waiting_models(directory) == [digest]
    first = approval.approve(directory, digest, "ann")
    assert (first.version, first.by, first.new) == (directory / "1", "ann", True)
    again = approval.approve(directory, digest, "bob")
    assert (again.version, again.by, again.at, again.new) == (first.version, "ann", first.at, False)
    assert versions(directory) == [1]
    assert approval.waiting_models(directory) == []
    assert json.loads((directory / "1" / "model_card.json").read_text())["approval"]["by"] == "ann"
    assert "Approved by ann" in (directory / "1" / "model_card.md").read_text()
    assert model_digest(directory / "1") == digest
    assert read_record(directory / "1").model_uri == "a"


def test_staging_what_is_served_already_leaves_nothing_to_approve(model, tmp_path):
    directory = tmp_path / "pushed"
    push_version(model, directory)
    assert approval.stage(model, directory, {}, PushRecord(), keep=3) == directory / "1"
    assert approval.waiting_models(directory) == []


def test_a_model_that_was_judged_beside_another_champion_is_not_approved(model, tmp_path):
    _, first = staged(model, tmp_path, "a")
    _, second = staged(model, tmp_path, "b")
    approval.approve(tmp_path / "pushed", second, "ann")
    with pytest.raises(RunError, match=r"judged beside version none, and version 1 is served now\. Run again"):
        approval.approve(tmp_path / "pushed", first, "ann")


def test_nothing_to_approve_is_said(tmp_path):
    with pytest.raises(RunError, match="is gone; run again"):
        approval.approve(tmp_path / "pushed", "abc", "ann")
    (tmp_path / "pushed").mkdir()
    with pytest.raises(RunError, match="no model abc waits"):
        approval.approve(tmp_path / "pushed", "abc", "ann")


def test_a_killed_approval_is_done_by_the_next(model, tmp_path, monkeypatch):
    waiting, digest = staged(model, tmp_path, "a")
    with monkeypatch.context() as patch:
        patch.setattr(approval, "publish", lambda *_: sys.exit("killed"))
        with pytest.raises(SystemExit):
            approval.approve(tmp_path / "pushed", digest, "ann")
    assert waiting.is_dir()
    assert approval.approve(tmp_path / "pushed", digest, "bob").new
