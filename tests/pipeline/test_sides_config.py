"""What pictures with words cannot be asked is said before anything runs, and how to mend it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from finetune.config.keys import set_at
from pipeline.checks import LOCAL_CHECKS


@pytest.fixture
def whole(tmp_path: Path) -> dict[str, Any]:
    (tmp_path / "manifest.csv").write_text("path,text,label\na.png,the left one,rose\n")
    (tmp_path / "words.txt").write_text("left 1 0\nright 0 1\n")
    return {
        "name": "sides",
        "data": {"root": str(tmp_path), "manifest": "manifest.csv"},
        "backbones": {
            "image": {"name": "SmallCNN", "weights": "random", "image_size": 16},
            "text": {"name": "GloVe", "weights": str(tmp_path / "words.txt"), "text": {"max_words": 6}},
        },
        "training": {"strategy": "linear_probe", "fusion": {"name": "cross_attention"}},
    }


def test_what_fits_is_taken(whole, load):
    load(whole, checks=LOCAL_CHECKS)


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("backbones.text", None, "backbones.text: "),
        (
            "backbones.image.name",
            "auto",
            "got `name: auto`, which ranks networks by themselves; expected the name of one",
        ),
        ("backbones.image", {"name": "GloVe", "weights": "words.txt"}, "backbones.image: got GloVe, which is for text"),
        (
            "backbones.text",
            {"name": "SmallCNN", "weights": "random"},
            "backbones.text: got SmallCNN, which is for image",
        ),
        (
            "backbones.text.weights",
            "/nowhere.txt",
            "backbones.text.weights: got '/nowhere.txt', which is not a file here",
        ),
        ("backbones.audio", {"name": "YAMNet"}, "backbones.audio: unknown key; expected one of image, text"),
        ("backbone", {"name": "SmallCNN", "weights": "random"}, "backbone, backbones: got both; expected exactly one"),
        ("data.manifest", None, "data.manifest: missing; pictures with words are rows of a CSV file"),
        ("data.manifest", "coco.json", "data.manifest: got 'coco.json', which has no texts; pictures with words are"),
        ("data.layout", "classes", "data.layout: got 'classes'; SmallCNN + GloVe is shown pictures with words"),
        (
            "data.text_columns",
            ["a", "b"],
            "data.text_columns: got ['a', 'b']; with `backbones` expected `data.text_column`",
        ),
        (
            "training.fusion",
            "late",
            "training.fusion.name: got 'late'; expected 'concat', 'cross_attention' or 'contrastive'",
        ),
        ("training.fusion.heads", 3, "heads: got 3, which do not divide the width 128 evenly"),
        ("training.fusion.missing", 1, "training.fusion.missing: got 1; expected less than 1"),
        ("training.strategy", "auto", "training.strategy: got 'auto'; with `backbones` expected another strategy"),
        ("training.head.start", "fitted", "training.head.start: got 'fitted'; with `backbones` expected `random`"),
        (
            "training.start_from",
            "champion",
            "training.start_from: got 'champion'; with `backbones` expected `backbone`",
        ),
        ("training.mixed_precision", "float16", "training.mixed_precision: got 'float16'; with `backbones` expected"),
        ("training.distillation.teacher", "champion", "with `backbones` expected none"),
        (
            "tuning.space",
            {"training.head.dropout": [0, 0.5]},
            "tuning.space: got {'training.head.dropout': [0, 0.5]}; with",
        ),
        ("evaluation.baselines", ["from_scratch"], "evaluation.baselines: got 'from_scratch', a model of one network"),
        (
            "evaluation.baselines",
            ["logistic_regression"],
            "expected `majority`. The report shows what each side does alone",
        ),
        (
            "augmentation.mixup",
            0.2,
            "augmentation.mixup: got 0.2; SmallCNN + GloVe is shown pictures with words, which",
        ),
        (
            "training.phases",
            [{"name": "a", "epochs": 1, "learning_rate": 0.1, "unfreeze": {"text": {"last_blocks": 9}}}],
            "training.phases[0].unfreeze.text.last_blocks: got 9; the backbone has 1 blocks: stem",
        ),
        (
            "training.phases",
            [{"name": "a", "epochs": 1, "learning_rate": 0.1, "unfreeze": {"image": "all", "last_layers": 1}}],
            "expected `image` and `text` alone, each with one of",
        ),
    ],
)
def test_what_does_not_fit_is_said(whole, problems, key, value, expected):
    set_at(whole, key, value)
    found = problems(whole, checks=LOCAL_CHECKS)
    assert any(expected in problem for problem in found), json.dumps(found, indent=1)


def test_fusion_is_of_two_networks(whole, problems):
    whole["backbone"] = whole.pop("backbones")["image"]
    found = problems(whole, checks=LOCAL_CHECKS)
    assert any("it joins two networks, and there is one" in each for each in found)


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("task", "multi_label", "task: got 'multi_label'; prompts exclude each other; expected single_label"),
        ("training.fusion.prompts", ["a photo"], "got 'a photo'; expected {} once, where the name of a class belongs"),
        ("training.fusion.prompts", [], "training.fusion.prompts: "),
        ("training.fusion.heads", 2, "heads does not go with `contrastive`; leave it out"),
        ("training.fusion.missing", 0.5, "missing does not go with `contrastive`; leave it out"),
        ("training.class_weights", "balanced", "training.class_weights: got 'balanced'; with `fusion: contrastive` no"),
        ("training.label_smoothing", 0.1, "training.label_smoothing: got 0.1; with `fusion: contrastive` no class has"),
        ("training.calibration", "temperature", "with `fusion: contrastive` the temperature is learned. Leave it out"),
        ("training.refit", True, "training.refit: got True; with `fusion: contrastive`"),
        ("training.gradient_accumulation_steps", 2, "told from the others of its part of the batch, so that all of it"),
        ("training.head.spatial_dropout", 0.1, "both sides are pooled below the head. Leave it out"),
    ],
)
def test_what_does_not_go_with_prompts_is_said(whole, load, problems, key, value, expected):
    whole["training"]["fusion"] = {"name": "contrastive"}
    load(whole, checks=LOCAL_CHECKS)
    set_at(whole, key, value)
    found = problems(whole, checks=LOCAL_CHECKS)
    assert any(expected in problem for problem in found), json.dumps(found, indent=1)


def test_what_asks_for_nothing_goes_with_prompts(whole, load):
    whole["training"]["fusion"] = {"name": "contrastive"}
    whole["training"] |= {"refit": False, "label_smoothing": 0.0, "calibration": "none"}
    load(whole, checks=LOCAL_CHECKS)


def test_prompts_go_with_contrastive_alone(whole, problems):
    whole["training"]["fusion"]["prompts"] = ["the {}"]
    assert "prompts does not go with `cross_attention`; leave it out" in problems(whole, checks=LOCAL_CHECKS)[0]
