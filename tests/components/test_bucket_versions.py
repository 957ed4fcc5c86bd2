"""Versions in a bucket: whole ones or none, whoever is killed, cut off, or writes at the same time."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from s3_server import Cable, impatient

from finetune import buckets
from finetune.artifacts.pushed_version import ChampionPointer, PushRecord
from finetune.buckets import folder
from finetune.errors import RunError
from registry.versions import (
    model_digest,
    newest_version,
    push_version,
    read_record,
    roll_back,
    served_instead,
    versions,
)

PUSHED = "s3://birds/models/finches"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return make_model(tmp_path / "model", b"first")


def make_model(place: Path, graph: bytes) -> Path:
    (place / "variables").mkdir(parents=True, exist_ok=True)
    (place / "saved_model.pb").write_bytes(graph)
    (place / "variables" / "data").write_bytes(graph * 100_000)
    # A name that begins like the name of a folder.
    (place / "variables.txt").write_bytes(b"one")
    return place


def numbers() -> list[int]:
    return versions(folder(PUSHED))


def test_versions_count_up_and_hold_the_bytes_of_the_model(s3, model):
    directory = folder(PUSHED)
    assert numbers() == []
    first, new = push_version(model, directory, {"model_card.md": "a card"}, PushRecord(pipeline="finches"))
    assert (str(first), new) == (f"{PUSHED}/1", True)
    assert (first / "model_card.md").read_text() == "a card"
    make_model(model, b"second")
    second, _ = push_version(model, directory)
    assert numbers() == [1, 2]
    assert model_digest(second) == model_digest(model) == read_record(second).model_sha256
    assert ChampionPointer.read(directory).version == 2
    assert newest_version(directory) == second
    assert served_instead(first) == second


def test_the_same_model_is_pushed_once(s3, model):
    first, _ = push_version(model, folder(PUSHED))
    assert push_version(model, folder(PUSHED)) == (first, False)
    assert numbers() == [1]


def test_only_as_many_are_kept(s3, model):
    for graph in (b"a", b"b", b"c"):
        push_version(make_model(model, graph), folder(PUSHED), keep=2)
    assert numbers() == [2, 3]
    assert buckets.entries(f"{PUSHED}/1") == []
    assert push_version(make_model(model, b"d"), folder(PUSHED), keep=2)[0].name == "4"


def test_going_back_publishes_the_earlier_model_under_a_new_number(s3, model):
    directory, digest = folder(PUSHED), model_digest(model)
    push_version(model, directory)
    push_version(make_model(model, b"worse"), directory)
    version, repeated = roll_back(directory, by="ann")
    assert (version.name, repeated) == ("3", 1)
    assert model_digest(version) == digest
    record = read_record(version)
    assert (record.rolled_back_to, record.by, record.model_sha256) == (1, "ann", digest)


@pytest.mark.parametrize("name", ["variables/data", "saved_model.pb", "push.json"])
def test_a_connection_that_breaks_leaves_no_version_and_the_next_push_is_whole(s3: Cable, model, name, monkeypatch):
    impatient(monkeypatch)
    directory = folder(PUSHED)
    push_version(model, directory)
    make_model(model, b"second")
    s3.cut = f"PUT .*/2/{name}"
    with pytest.raises(RunError, match=f"{PUSHED}/2/{name}: the bucket did not answer"):
        push_version(model, directory)
    assert s3.broken
    assert numbers() == [1]
    assert ChampionPointer.read(directory).version == 1
    s3.cut = "(?!)"
    version, new = push_version(model, directory)
    assert (version.name, new) == ("3", True)
    assert model_digest(version) == model_digest(model)
    assert numbers() == [1, 3]


def test_a_writer_that_is_killed_leaves_no_version(s3, model):
    code = (
        "import os, signal, sys; from pathlib import Path; from finetune import buckets; "
        "from registry.versions import push_version\n"
        "write = buckets.write\n"
        "def killed(place, data):\n"
        "    write(place, data)\n"
        "    if place.endswith('saved_model.pb'): os.kill(os.getpid(), signal.SIGKILL)\n"
        "buckets.write = killed\n"
        "push_version(Path(sys.argv[1]), buckets.folder(sys.argv[2]))"
    )
    killed = subprocess.run([sys.executable, "-c", code, model, PUSHED], check=False)
    assert killed.returncode == -signal.SIGKILL
    there = {entry.name for entry in buckets.entries(f"{PUSHED}/1")}
    assert there == {"saved_model.pb", "variables.txt", "variables/data"}
    assert numbers() == []
    assert newest_version(folder(PUSHED)) is None
    assert push_version(model, folder(PUSHED))[0].name == "2"


def test_writers_at_the_same_time_have_versions_of_their_own_and_readers_see_whole_ones(s3, tmp_path):
    models = [make_model(tmp_path / str(number), f"graph {number}".encode()) for number in range(4)]
    digests = {model_digest(one) for one in models}
    directory, seen, ended = folder(PUSHED), [], threading.Event()

    def watch() -> None:
        while not ended.is_set():
            seen.extend(model_digest(directory / str(number)) for number in versions(directory))
            time.sleep(0.01)

    reader = threading.Thread(target=watch)
    writers = [threading.Thread(target=push_version, args=(one, directory)) for one in models]
    for thread in (reader, *writers):
        thread.start()
    for thread in writers:
        thread.join()
    ended.set()
    reader.join()
    assert numbers() == [1, 2, 3, 4]
    assert {read_record(directory / str(number)).model_sha256 for number in numbers()} == digests
    assert seen
    assert set(seen) <= digests
