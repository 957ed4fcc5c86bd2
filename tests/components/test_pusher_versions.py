"""Pushing: whole versions or nothing, and the same model once."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading

import pytest

from components.pusher.versions import folder_digest, push_version, versions


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
    assert folder_digest(second) == folder_digest(model)
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
        "import os, signal, shutil, sys; from pathlib import Path; import components.pusher.versions as v; "
        "copy = shutil.copytree; "
        "v.shutil.copytree = lambda *a: (copy(*a), os.kill(os.getpid(), signal.SIGKILL)); "
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
