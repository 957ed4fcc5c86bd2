"""A disk that has no room left: one sentence says so, and nothing that was cut short is taken for whole afterwards."""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Callable
from pathlib import Path

import ml_metadata as mlmd
import numpy as np
import pytest
from ml_metadata.proto import metadata_store_pb2

from components.bulk_inferrer.test_set import save_test_set
from evaluation.evidence import TestSet
from finetune.artifacts.run_summary import RunSummary
from finetune.disk import is_full
from finetune.errors import RunError
from finetune.example_cache import ExampleCache
from pipeline.local import _logs_to
from pipeline.node_runs import readable
from pipeline.only_run import only_run
from registry.versions import newest_version, push_version, versions

Disk = Callable[..., Path]


def fill(disk: Path, left: int = 0) -> Path:
    """Leaves so many bytes on a disk, in whole pages."""
    ballast = disk / "ballast"
    room = os.statvfs(disk)
    with ballast.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, max(room.f_bavail * room.f_frsize - left, 1))
    return ballast


def test_every_librarys_way_to_say_it_is_understood():
    assert is_full(OSError(errno.ENOSPC, "x"))
    assert is_full(OSError(errno.EDQUOT, "x"))
    assert is_full(RuntimeError("RESOURCE_EXHAUSTED: /a/b; No space left on device [while running 'Write']"))
    wrapped = RuntimeError("the node failed")
    wrapped.__cause__ = OSError(errno.ENOSPC, "x")
    assert is_full(wrapped)
    assert not is_full(OSError(errno.EACCES, "x"))
    assert not is_full(RuntimeError("OOM when allocating tensor"))


def test_a_node_that_failed_for_it_says_so_in_one_sentence():
    said = readable(OSError(errno.ENOSPC, "No space left on device"), [], "The log has the whole story: log.txt")
    assert said.startswith("the disk is full. Make room (`finetune clean CONFIG`")
    assert "\n" not in said


def test_a_run_that_cannot_report_says_so(small_disk: Disk):
    disk = small_disk(64)
    fill(disk)
    with pytest.raises(RunError, match="the disk is full"), only_run(disk):
        RunSummary(run_id="r", status="pushed").write(disk)
    assert not RunSummary.path(disk).exists()


def test_a_log_that_cannot_be_written_ends_no_run(small_disk: Disk):
    disk = small_disk(64)
    log = disk / "log.txt"
    with _logs_to(log):
        fill(disk)
        os.write(2, b"")
        logging.getLogger("x").error("y" * 100_000)
    assert log.stat().st_size < 65536


def test_a_push_without_room_leaves_what_is_served(small_disk: Disk, tmp_path: Path):
    model = tmp_path / "model"
    model.mkdir()
    (model / "weights").write_bytes(b"1" * 50_000)
    disk = small_disk(128)
    served, _ = push_version(model, disk / "pushed")
    (model / "weights").write_bytes(b"2" * 90_000)
    with pytest.raises(RunError, match=r"the disk is full\. Its versions are unharmed"):
        push_version(model, disk / "pushed")
    assert newest_version(disk / "pushed") == served
    assert sorted(path.name for path in (disk / "pushed").iterdir()) == [".lock", "1", "champion.json"]
    (model / "weights").write_bytes(b"2" * 5_000)
    push_version(model, disk / "pushed")
    assert versions(disk / "pushed") == [1, 2]


def test_features_without_room_are_not_kept_and_never_wrong(small_disk: Disk):
    disk = small_disk(256)
    values = {str(number).encode(): bytes([number]) * 20_000 for number in range(30)}
    cache = ExampleCache(disk, "network", max_bytes=2**30)
    for number, (key, value) in enumerate(values.items()):
        cache.put(key, value)
        if number % 5 == 4:
            cache.flush()
    cache.close()
    again = ExampleCache(disk, "network", max_bytes=2**30)
    found = {key: value for key in values if (value := again.get(key)) is not None}
    assert 0 < len(found) < len(values)
    assert found == {key: values[key] for key in found}
    assert again.damaged == 0
    assert not list(disk.glob("*/.*")), "nothing half-written stays"


def test_predictions_without_room_are_an_error_and_no_dead_process(small_disk: Disk):
    disk = small_disk(64)
    part = TestSet(
        classes=["a", "b"],
        labels=np.zeros(50_000, np.int32),
        columns={},
        probabilities={"candidate": np.zeros((50_000, 2), np.float32)},
        said={},
        task="single_label",
        trained=None,
    )
    with pytest.raises(OSError, match="No space left"):
        save_test_set([part], 50_000, str(disk))


def test_a_database_without_room_takes_nothing_by_halves(small_disk: Disk):
    disk = small_disk(2048)
    connection = metadata_store_pb2.ConnectionConfig()
    connection.sqlite.filename_uri = str(disk / "metadata.sqlite")
    store = mlmd.MetadataStore(connection)
    work = store.put_execution_type(metadata_store_pb2.ExecutionType(name="work"))
    kind = store.put_artifact_type(metadata_store_pb2.ArtifactType(name="Model"))
    execution = metadata_store_pb2.Execution(type_id=work, last_known_state=metadata_store_pb2.Execution.COMPLETE)
    event = metadata_store_pb2.Event(type=metadata_store_pb2.Event.OUTPUT)
    ballast = fill(disk, left=64 * 1024)
    written: list[int] = []

    def write_on() -> None:
        while len(written) < 1000:
            artifact = metadata_store_pb2.Artifact(type_id=kind, uri="x" * 2000)
            written.append(store.put_execution(execution, [(artifact, event)], [])[0])

    with pytest.raises(mlmd.errors.InternalError) as caught:
        write_on()
    assert is_full(caught.value, disk / "metadata.sqlite")
    ballast.unlink()
    assert not is_full(caught.value, disk / "metadata.sqlite")
    store = mlmd.MetadataStore(connection)
    assert [one.id for one in store.get_executions()] == written
    assert len(store.get_artifacts()) == len(written)
