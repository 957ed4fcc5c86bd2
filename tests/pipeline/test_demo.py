"""What the demo makes: pictures in three splits, and a backbone that the recipe can load."""

from __future__ import annotations

import json

import pytest

from finetune.config import BackboneConfig
from finetune.errors import RunError
from finetune_cli import demo

pytest.importorskip("tensorflow")


def test_it_makes_pictures_and_a_backbone_once(tmp_path, monkeypatch):
    from trainer_module.backbones.model import build_backbone

    monkeypatch.setattr(demo, "PRETRAIN_STEPS", 2)
    sentence = demo.prepare(tmp_path)
    counts = {
        split: {folder.name: len(list(folder.iterdir())) for folder in (tmp_path / "images" / split).iterdir()}
        for split in ("train", "val", "test")
    }
    assert counts["train"] == counts["val"] == dict.fromkeys("56789", 20)
    assert sum(counts["test"].values()) == 696
    weights = tmp_path / "backbone.h5"
    build_backbone(BackboneConfig(name="SmallCNN", weights=str(weights)))
    made = weights.stat().st_mtime_ns
    assert demo.prepare(tmp_path) == sentence == json.loads((tmp_path / "made.json").read_text())["made"]
    assert weights.stat().st_mtime_ns == made


def test_it_does_not_write_over_files_of_others(tmp_path):
    (tmp_path / "images").mkdir()
    with pytest.raises(RunError, match="is not this demo's"):
        demo.prepare(tmp_path)
    assert not any((tmp_path / "images").iterdir())
