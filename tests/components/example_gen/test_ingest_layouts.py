"""What is found under a data root."""

import os

import pytest

from components.example_gen.layouts import list_files
from components.example_gen.settings import IngestSettings
from finetune.errors import DataError


def found(root: str, **settings) -> list[tuple[str, str, str | None]]:
    return [
        (file.path, ", ".join(file.labels), file.folder) for file in list_files(root, IngestSettings(**settings)).files
    ]


def test_classes(tree, picture):
    root = tree({"rose/a.png": picture(), "daisy/b.png": picture(1), "LICENSE.txt": b"MIT", ".git/config": b""})
    os.mkdir(f"{root}/tulip")
    listing = list_files(root, IngestSettings())
    assert found(root) == [("daisy/b.png", "daisy", None), ("rose/a.png", "rose", None)]
    assert (listing.layout, listing.classes, listing.ignored) == (
        "classes",
        ["daisy", "rose", "tulip"],
        ["LICENSE.txt"],
    )


def test_split_folders(tree, picture):
    root = tree(
        {
            "train/rose/a.png": picture(),
            "val/rose/b.png": picture(1),
            "val/README": b"",
            "validation/rose/c.png": picture(2),
            "notes.txt": b"",
        }
    )
    listing = list_files(root, IngestSettings())
    assert found(root) == [("train/rose/a.png", "rose", "train"), ("val/rose/b.png", "rose", "val")]
    assert (listing.layout, listing.ignored) == ("splits", ["notes.txt", "val/README", "validation"])
    assert listing.plan.cuts == {"test": 0.15}


def test_named_folders_choose_the_layout(tree, picture):
    root = tree({"learn/rose/a.png": picture(), "check/rose/b.png": picture(1)})
    splits = {"train": "learn", "val": 0.1, "test": "check"}
    assert found(root, splits=splits) == [("check/rose/b.png", "rose", "check"), ("learn/rose/a.png", "rose", "learn")]


def test_fractions_over_split_folders_pool_them(tree, picture):
    root = tree({"train/rose/a.png": picture(), "test/rose/b.png": picture(1)})
    settings = IngestSettings(splits={"train": 0.6, "val": 0.2, "test": 0.2})
    listing = list_files(root, settings)
    assert [file.path for file in listing.files] == ["test/rose/b.png", "train/rose/a.png"]
    assert listing.plan.folders == {}


def test_a_class_named_train_without_class_folders_is_a_class(tree, picture):
    root = tree({"train/a.png": picture(), "bus/b.png": picture(1)})
    assert list_files(root, IngestSettings()).classes == ["bus", "train"]


@pytest.mark.parametrize("name", [os.fsdecode(b"ros\xe9"), "ro\nse"])
def test_class_names_that_a_vocabulary_cannot_hold(tree, picture, name):
    (file,) = list_files(tree({f"{name}/a.png": picture()}), IngestSettings()).files
    assert file.reason == "bad label"


@pytest.mark.parametrize("root", ["/nowhere", "ftp://host/data", __file__, "a\0b"])
def test_roots_that_are_no_folder(root):
    with pytest.raises(DataError, match=r"data.root: got .*expected a readable folder on this machine"):
        list_files(root, IngestSettings())


def test_missing_split_folder_lists_what_there_is(tree, picture):
    root = tree({"train/rose/a.png": picture(), "valid/rose/b.png": picture(1)})
    with pytest.raises(DataError, match=r"data.splits.val: got 'val'.*'train', 'valid'\. Did you mean 'valid'"):
        list_files(root, IngestSettings(splits={"train": "train", "val": "val", "test": 0.15}))


def test_class_folders_may_name_several_labels(tree, picture):
    root = tree({"a|b/1.png": picture(1), "b/2.png": picture(2)})
    listing = list_files(root, IngestSettings(task="multi_label"))
    assert {file.path: file.labels for file in listing.files} == {"a|b/1.png": ("a", "b"), "b/2.png": ("b",)}
    assert listing.classes == ["a", "b"]
