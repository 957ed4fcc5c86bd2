"""What `finetune plan` says of frozen features: what the Trainer would do, without TensorFlow."""

from __future__ import annotations

import importlib
import io
import shutil

import pytest
from rich.console import Console

from finetune.config import BackboneConfig, Config, TrainingConfig
from pipeline.frozen_features_plan import count_examples, frozen_features_lines
from pipeline.plan import print_plan
from trainer_module.backbones.sources import source_of
from trainer_module.frozen_features import recorded


def config(root, training=None, **changes):
    backbone = {"name": "MobileNetV2", "weights": "random", "arguments": {"alpha": 0.35}}
    raw = {"name": "birds", "data": {"root": str(root)}, "backbone": backbone, "training": training or {}}
    return Config.model_validate({**raw, **changes})


def folders(root, **counts):
    for name, count in counts.items():
        for number in range(count):
            path = root / name / "finch" / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    return root


def test_each_phase_with_its_cut_and_its_bytes(tmp_path):
    head, tune = frozen_features_lines(config(folders(tmp_path, train=80, val=20)))
    # 1,280 numbers of four bytes; 15 % of train is cut for the test split, which has no folder.
    assert head == (
        "head: the network up to head_pool runs once; 5.1 kB a picture, 450.6 kB for 68 + 20 pictures, "
        "read from: memory"
    )
    # The last ten layers begin with block_16_expand_BN, which stays frozen: 7 x 7 x 336 numbers are kept above it.
    assert tune.startswith("fine_tune: the network up to block_16_expand_relu runs once; 65.9 kB a picture")


def test_what_does_not_train_on_the_cache_says_why(tmp_path):
    root = folders(tmp_path, train=80, val=20)
    assert frozen_features_lines(config(root, {"frozen_features": "off"})) == ["off, as training.frozen_features says"]
    *_, last = frozen_features_lines(config(root, {"strategy": "full"}))
    assert "nothing below the first layer that trains" in last
    head, _ = frozen_features_lines(config(root, augmentation={"zoom": 0.1}))
    assert "for validation, and always for training" in head
    assert "train off, val memory" in head
    head, _ = frozen_features_lines(config(root, augmentation={"zoom": 0.1, "views": 3}))
    assert f"{(3 * 68 + 20) * 5120 / 1e6:.1f} MB" in head
    head, tune = frozen_features_lines(config(root, {"memory_mb": 1}))
    assert head.endswith("read from: memory")
    assert tune.endswith("read from: disk")
    other = {"name": "MobileNetV2", "weights": "random", "arguments": {"alpha": 0.77}}
    assert "no graph of this backbone is recorded" in frozen_features_lines(config(root, backbone=other))[0]
    phase = {"name": "a", "epochs": 1, "learning_rate": 0.1, "unfreeze": {"from_layer": "block_99"}}
    assert "block_99" in frozen_features_lines(config(root, {"phases": [phase]}))[0]


def test_with_updates_of_low_rank_the_cut_lies_below_the_lowest_and_the_plan_counts_them(tmp_path):
    training = {"strategy": "full", "peft": {"rank": 2}}
    own = config(folders(tmp_path, train=80, val=20), training)
    # 2 (112 + 1280) of Conv_1 and 2 (336 + 112) of block_16_project; the next would reach 4,102, 1 % of all.
    _, tune = frozen_features_lines(own)
    assert tune.startswith("fine_tune: the network up to block_16_depthwise_relu runs once; 65.9 kB a picture")
    console = Console(file=io.StringIO(), width=300)
    print_plan(own, console)
    expected = "2 kernels from block_16_project to Conv_1; 3,680 parameters train of the backbone's 410,208 (0.90%)"
    assert expected in console.file.getvalue()
    too_high = config(tmp_path, {"strategy": "full", "peft": "lora"})
    assert "training.peft.rank: got 4" in frozen_features_lines(too_high)[0]


def test_another_size_of_pictures_is_an_estimate(tmp_path):
    backbone = {"name": "MobileNetV2", "weights": "random", "arguments": {"alpha": 0.35}, "image_size": 448}
    _, tune = frozen_features_lines(config(tmp_path / "absent", backbone=backbone))
    assert "about 263.4 kB a picture" in tune, "four times as many places"
    assert "700 + 150 of 1,000 pictures, say" in tune


@pytest.mark.parametrize(
    ("counts", "splits", "expected"),
    [
        ({"train": 100, "val": 30, "test": 20}, None, (100, 30)),
        ({"train": 100}, None, (70, 15)),
        ({"train": 100, "val": 30}, {"train": "train", "val": 0.1, "test": "val"}, (90, 10)),
        ({"finch": 100, "tit": 100}, None, (140, 30)),
        ({}, None, None),
    ],
)
def test_examples_are_counted_by_files(tmp_path, counts, splits, expected):
    folders(tmp_path, **counts)
    assert count_examples(config(tmp_path, data={"root": str(tmp_path), "splits": splits}).data) == expected


def test_counting_has_an_end(tmp_path, monkeypatch):
    monkeypatch.setattr("pipeline.frozen_features_plan.SECONDS_TO_COUNT", -1)
    assert count_examples(config(folders(tmp_path, train=3)).data) is None


def test_lines_of_a_manifest_are_examples(tmp_path):
    (tmp_path / "all.csv").write_text("path,label\n" + "a.png,finch\n" * 20)
    assert count_examples(config(tmp_path, data={"root": str(tmp_path), "manifest": "all.csv"}).data) == (14, 3)


def test_pictures_or_files_of_boxes_are_examples(tmp_path):
    for number in range(20):
        for name in (f"JPEGImages/{number}.jpg", f"Annotations/{number}.xml"):
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).touch()
    voc = config(tmp_path, data={"root": str(tmp_path), "manifest": "Annotations"}, task="detection")
    assert count_examples(voc.data) == (14, 3)
    shutil.rmtree(tmp_path / "Annotations")
    (tmp_path / "coco.json").write_text("{}")
    coco = config(tmp_path, data={"root": str(tmp_path), "manifest": "coco.json"}, task="detection")
    assert count_examples(coco.data) == (15, 3), "the JSON file is one of 21"


@pytest.mark.parametrize("task", ["detection", "segmentation"])
def test_of_tasks_of_places_nothing_is_kept(tmp_path, task):
    lines = frozen_features_lines(config(folders(tmp_path, train=80, val=20), task=task))
    assert lines == ["off: the head reads several maps of the backbone, and none is kept"]


@pytest.mark.parametrize(("name", "arguments"), [("SmallCNN", {}), ("MobileNetV2", {"alpha": 0.35})])
def test_recorded_graphs_are_those_of_the_networks(name, arguments):
    pytest.importorskip("tensorflow")
    record = importlib.import_module("trainer_module.frozen_features.record")
    assert recorded.recorded(name, arguments) == record.graph_of(name, arguments)


def test_a_plan_with_pooled_blocks_has_the_graph_that_is_built():
    pytest.importorskip("tensorflow")
    model = importlib.import_module("trainer_module.backbones.model")
    network = importlib.import_module("trainer_module.frozen_features.network")
    own = BackboneConfig(name="SmallCNN", weights="random", pooled_blocks=3)
    planned = source_of(own).graph(own)
    built = network.Network(*reversed(model.build_network(own, TrainingConfig(), classes=2)))
    assert planned.layers == tuple(built.graph.layers)
    found = [(node.name, node.shape, set(node.inputs)) for node in built.nodes if node.in_backbone]
    assert found[1:] == [(node.name, node.shape, set(node.inputs)) for node in planned.nodes[1:]]


def test_of_pooled_blocks_a_phase_keeps_what_lies_below_the_lowest_or_all(tmp_path):
    backbone = {"name": "MobileNetV2", "weights": "random", "arguments": {"alpha": 0.35}, "pooled_blocks": 3}
    head, tune = frozen_features_lines(config(folders(tmp_path, train=80, val=20), backbone=backbone))
    # 1280 of the output, and 56 of each of the two blocks below it, four bytes each.
    assert head.startswith("head: the network up to pooled_blocks runs once; 5.6 kB a picture")
    assert "the network up to block_14_add runs once" in tune
