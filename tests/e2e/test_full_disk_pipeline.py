"""A disk that fills up while a pipeline runs: one sentence, what is served stays, and the same command mends it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from registry.versions import versions

pytest.importorskip("tfx")

pytestmark = pytest.mark.long

MIB = 1024


def fill(disk: Path, left: int = 0) -> Path:
    """Leaves so many bytes on a disk, in whole pages."""
    ballast = disk / ".ballast"
    room = os.statvfs(disk)
    with ballast.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, room.f_bavail * room.f_frsize - left)
    return ballast


def ran(summary: dict) -> list[str]:
    return [component["id"] for component in summary["components"] if component["state"] == "ran"]


def test_a_full_disk_is_one_sentence_wherever_it_fills_and_the_next_run_mends_it(
    runner, raw_config, tmp_path, small_disk
):
    out = small_disk(64 * MIB, tmp_path / "out")
    places = {name: small_disk(32 * MIB, out / name) for name in ("frozen_features", "checkpoints", "pushed", "runs")}
    raw = {**raw_config, "output_dir": str(out)}
    raw["training"] = {**raw["training"], "phases": [{"name": "head", "epochs": 1, "learning_rate": 1e-2}]}
    raw["evaluation"] = {"gates": [{"metric": "accuracy", "min": 0.0}]}

    def run_with(seed: int) -> dict:
        return runner.run(f"training.seed={seed}", raw=raw)

    ballast = fill(places["frozen_features"])
    first = run_with(1)
    assert first["status"] == "pushed", "training goes on without them"
    assert not list(places["frozen_features"].rglob("*.segment"))
    ballast.unlink()

    ballast = fill(places["checkpoints"])
    stopped = run_with(2)
    assert stopped["status"] == "failed"
    assert stopped["error"].startswith("Trainer: the disk is full. Make room")
    assert "\n" not in stopped["error"]
    assert not list(places["checkpoints"].rglob("*safetensors*")), "nothing half-written stays"
    ballast.unlink()

    ballast = fill(places["pushed"])
    stopped = run_with(2)
    assert ran(stopped)[0] == "Trainer", "what failed was not taken for done"
    assert stopped["error"].startswith("Pusher: push.directory: ")
    assert "the disk is full. Its versions are unharmed." in stopped["error"]
    assert versions(places["pushed"]) == [1]
    ballast.unlink()

    ballast = fill(out, left=8192)
    stopped = run_with(2)
    assert stopped["status"] == "failed"
    assert "the disk is full. Make room" in stopped["error"], "the database took nothing"
    assert versions(places["pushed"]) == [1]
    ballast.unlink()

    mended = run_with(2)
    assert mended["status"] == "pushed"
    assert ran(mended) == ["Pusher"]
    assert versions(places["pushed"]) == [1, 2]
