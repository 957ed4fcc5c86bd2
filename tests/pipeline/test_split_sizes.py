"""How large the splits will be, from a look at names and tables, and what `plan` and `validate` make of it."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from evaluation.foresight import Sizes
from finetune.config import Config
from finetune_cli.main import app
from pipeline.split_sizes import expected_sizes


def config(root, **others) -> Config:
    data = {"root": str(root), **others.pop("data", {})}
    backbone = {"name": "SmallCNN", "weights": "random"}
    return Config.model_validate({"name": "n", "data": data, "backbone": backbone, **others})


def touch(root, **counts):
    for name, count in counts.items():
        folder = root / name.replace("_", "/")
        folder.mkdir(parents=True)
        for number in range(count):
            (folder / f"{number}.png").write_bytes(b"x")
    return root


def test_folders_of_splits_are_counted_and_fractions_taken_of_each_class(tmp_path):
    touch(tmp_path, train_a=20, train_b=10, test_a=3, test_b=4)
    sizes = expected_sizes(config(tmp_path))
    assert sizes["test"] == Sizes(7, {"a": 3, "b": 4})
    # val is missing, and cut from train at 0.15.
    assert sizes["train"] == Sizes(17 + 8, {"a": 17, "b": 8})


def test_folders_of_classes_are_cut(tmp_path):
    sizes = expected_sizes(config(touch(tmp_path, a=40, b=20)))
    assert sizes == {"train": Sizes(28 + 14, {"a": 28, "b": 14}), "test": Sizes(6 + 3, {"a": 6, "b": 3})}


def test_a_manifest_of_several_labels_counts_each_label_and_each_example_once(tmp_path):
    touch(tmp_path, images=4)
    rows = ["path,label,split", "images/0.png,a|b,test", "images/1.png,a,test", "images/2.png,,test"]
    (tmp_path / "m.csv").write_text("\n".join([*rows, "images/3.png,b,train", "images/3.png,a,val"]))
    data = {"manifest": "m.csv", "split_column": "split"}
    sizes = expected_sizes(config(tmp_path, task="multi_label", data=data))
    assert sizes["test"] == Sizes(3, {"a": 2, "b": 1})
    assert sizes["train"] == Sizes(1, {"b": 1})


def test_tables_are_counted_too(tmp_path):
    for split, rows in {"train": ["x,a", "y,b", "z,a"], "val": ["v,a"], "test": ["t,b"]}.items():
        (tmp_path / f"{split}.csv").write_text("\n".join(["text,label", *rows]))
    sizes = expected_sizes(config(tmp_path, data={"layout": "table"}, backbone={"name": "GloVe", "weights": "random"}))
    assert sizes == {"train": Sizes(3, {"a": 2, "b": 1}), "test": Sizes(1, {"b": 1})}


@pytest.mark.parametrize("root", ["s3://bucket/folder", "nowhere"])
def test_data_that_are_elsewhere_or_nowhere_are_not_guessed(root):
    assert expected_sizes(config(root)) is None


def test_too_much_is_left_to_the_ingest(tmp_path, monkeypatch):
    pictures = config(touch(tmp_path / "pictures", a=40, b=40))
    table = tmp_path / "t.csv"
    table.write_text("text,label\nsome text,a\n")
    texts = config(table, data={"layout": "table"}, backbone={"name": "GloVe", "weights": "random"})
    assert expected_sizes(pictures)
    assert expected_sizes(texts)
    monkeypatch.setattr("pipeline.split_sizes.MOST_FILES", 50)
    monkeypatch.setattr("pipeline.split_sizes.MOST_TABLE_BYTES", 5)
    assert expected_sizes(pictures) is expected_sizes(texts) is None


@pytest.mark.parametrize("command", ["plan", "validate"])
def test_plan_and_validate_warn_before_anything_is_trained(tmp_path, command):
    touch(tmp_path / "images", train_a=20, train_b=20, val_a=4, val_b=4, test_a=5, test_b=5)
    raw = tmp_path / "c.yaml"
    raw.write_text(
        "name: n\ndata: {root: %s}\nbackbone: {name: SmallCNN, weights: random}\n"
        "evaluation: {gates: [{metric: accuracy, min: 0.9, confidence: 0.95}, {metric: accuracy, min: 0.5}]}\n"
        % (tmp_path / "images")
    )
    done = CliRunner().invoke(app, [command, str(raw)])
    assert done.exit_code == 0, done.output
    said = " ".join(done.output.split())
    assert said.count("no candidate could") == 1
    assert "accuracy >= 0.9 at 95 %: no candidate could pass on 10 test examples." in said
