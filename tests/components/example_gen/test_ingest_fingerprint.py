"""The fingerprint changes when, and only when, the ingest would read something else."""

import os
import shutil
from pathlib import Path

import pytest

from components.example_gen.fingerprint import fingerprint
from components.example_gen.settings import IngestSettings


@pytest.fixture
def root(tree, picture) -> str:
    files = {f"{label}/{i}.png": picture(i) for label in ("daisy", "rose") for i in range(3)}
    return tree({**files, "m.csv": b"path,label\ndaisy/0.png,daisy\nrose/0.png,rose\n"})


def change_time(root: str) -> None:
    os.utime(f"{root}/rose/1.png", ns=(1, 2))


def append(root: str) -> None:
    info = os.stat(f"{root}/rose/1.png")
    with open(f"{root}/rose/1.png", "ab") as file:
        file.write(b"x")
    os.utime(f"{root}/rose/1.png", ns=(info.st_atime_ns, info.st_mtime_ns))


CHANGES = {
    "added": lambda root: shutil.copy2(f"{root}/rose/1.png", f"{root}/rose/9.png"),
    "removed": lambda root: os.remove(f"{root}/rose/1.png"),
    "renamed": lambda root: os.rename(f"{root}/rose/1.png", f"{root}/rose/9.png"),
    "another class": lambda root: os.rename(f"{root}/rose/1.png", f"{root}/daisy/9.png"),
    "another size": append,
    "another time": change_time,
    "an empty class": lambda root: os.mkdir(f"{root}/tulip"),
    "class renamed": lambda root: os.rename(f"{root}/rose", f"{root}/roses"),
}
NO_CHANGES = {
    "nothing": lambda root: None,
    "litter": lambda root: Path(root, "rose/.DS_Store").touch(),
    "file at the side": lambda root: Path(root, "README").touch(),
    "read": lambda root: Path(root, "rose/1.png").read_bytes(),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_changes(root, change):
    before = fingerprint(root, IngestSettings())
    change(root)
    assert fingerprint(root, IngestSettings()) != before


@pytest.mark.parametrize("change", NO_CHANGES.values(), ids=NO_CHANGES)
def test_no_changes(root, change):
    before = fingerprint(root, IngestSettings())
    change(root)
    assert fingerprint(root, IngestSettings()) == before
    assert before.startswith("files:6,bytes:")


def test_an_empty_split_folder_changes_what_is_cut(tree, picture):
    root = tree({"train/rose/a.png": picture(), "train/daisy/b.png": picture(1)})
    before = fingerprint(root, IngestSettings())
    os.mkdir(f"{root}/val")
    assert fingerprint(root, IngestSettings()) != before


def test_manifest(root):
    """Of a manifest, every byte counts; files that it does not list do not."""
    settings = IngestSettings(manifest="m.csv")
    before = fingerprint(root, settings)
    os.remove(f"{root}/rose/1.png")
    assert fingerprint(root, settings) == before
    with open(f"{root}/m.csv", "a") as file:
        file.write("\n")
    changed = fingerprint(root, settings)
    assert changed != before
    os.utime(f"{root}/rose/0.png", ns=(1, 2))
    assert fingerprint(root, settings) != changed


def test_odd_trees_have_a_fingerprint(root):
    os.symlink("..", f"{root}/rose/loop")
    os.symlink("/", f"{root}/rose/everything")
    os.symlink("nowhere", f"{root}/rose/broken.jpg")
    os.symlink("self.jpg", f"{root}/rose/self.jpg")
    os.symlink("self", f"{root}/self")
    os.mkfifo(f"{root}/rose/pipe.jpg")
    open(os.fsencode(root) + b"/rose/caf\xe9.jpg", "w").close()
    before = fingerprint(root, IngestSettings())
    assert before == fingerprint(root, IngestSettings())
    Path(root, "rose/nowhere").touch()
    assert fingerprint(root, IngestSettings()) != before


@pytest.mark.parametrize("settings", [{}, {"manifest": "gone.csv"}])
def test_data_that_cannot_be_listed_has_a_fingerprint(settings, tmp_path):
    assert fingerprint(str(tmp_path / "gone"), IngestSettings(**settings)).startswith("unusable:")
