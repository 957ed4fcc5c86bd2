"""The whole pipeline with its data in a bucket, and its models pushed to one."""

from __future__ import annotations

from pathlib import Path

import pytest
from s3_server import SECRET

from finetune import buckets
from finetune.artifacts.pushed_version import ChampionPointer
from finetune.buckets import folder
from registry.versions import model_digest, read_record, versions

pytestmark = pytest.mark.long
pytest.importorskip("tfx")


def test_from_a_bucket_to_a_bucket(s3, runner, raw_config, images, tmp_path):
    for path in images.rglob("*.png"):
        buckets.write(f"s3://birds/shapes/{path.relative_to(images).as_posix()}", path.read_bytes())
    pushed = "s3://birds/models/shapes"
    raw = {
        **raw_config,
        "output_dir": str(tmp_path / "run"),
        "data": {"root": "s3://birds/shapes"},
        "push": {"directory": pushed},
    }
    first = runner.run(raw=raw)
    assert (first["status"], first["pushed_model"]) == ("pushed", f"{pushed}/1"), first["error"]
    assert first["splits"] == {"train": 36, "val": 18, "test": 24}
    assert versions(folder(pushed)) == [ChampionPointer.read(pushed).version] == [1]
    version = folder(first["pushed_model"])
    assert model_digest(version) == read_record(version).model_sha256
    assert SECRET not in Path(first["log_file"]).read_text()

    again = runner.run(raw=raw)
    assert (again["status"], again["pushed_model"]) == ("pushed", f"{pushed}/1"), again["error"]
    assert {component["state"] for component in again["components"]} == {"cached"}

    buckets.remove("s3://birds/shapes/train/disc/000.png")
    changed = runner.run(raw=raw)
    assert (changed["status"], changed["pushed_model"]) == ("pushed", f"{pushed}/2"), changed["error"]
    assert changed["champion_metrics"]
