"""Every odd thing that a folder can hold, really made on disk."""

import os
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from components.example_gen import files
from components.example_gen.files import FileProblem, FileRecord, describe_file, printable, read_file, walk_folder

NOBODY = 65534


def walk(root: str, label: str = "daisy") -> dict[str, str | None]:
    """Returns the reason (None: none) of each path in a class folder."""
    return {record.path: record.reason for record in walk_folder(root, label, (label,), None)}


@pytest.fixture
def unprivileged_folder() -> Iterator[Path]:
    """Yields a folder, while this process has no more rights than a stranger: root reads files of mode 000."""
    with tempfile.TemporaryDirectory() as name:
        os.chmod(name, 0o777)
        was_root = os.geteuid() == 0
        if was_root:
            os.seteuid(NOBODY)
        try:
            yield Path(name)
        finally:
            if was_root:
                os.seteuid(0)


def test_nested_folders_count_to_the_class(tree, picture):
    root = tree({"daisy/a.png": picture(), "daisy/2024/may/b.png": picture(1), "rose/c.png": picture(2)})
    assert walk(root) == {"daisy/a.png": None, "daisy/2024/may/b.png": None}


def test_litter_is_not_listed(tree, picture):
    names = [".DS_Store", "Thumbs.db", "desktop.ini", ".ipynb_checkpoints/a.png", "__MACOSX/._a.png", "._a.png"]
    assert walk(tree({f"daisy/{name}": picture() for name in names} | {"daisy/a.png": picture()})) == {
        "daisy/a.png": None
    }


def test_empty_file(tree):
    assert walk(tree({"daisy/a.jpg": b""})) == {"daisy/a.jpg": "empty file"}


def test_pipes_sockets_and_devices(tree, picture):
    root = tree({"daisy/a.png": picture()})
    os.mkfifo(f"{root}/daisy/pipe.jpg")
    os.symlink("/dev/null", f"{root}/daisy/null.jpg")
    with socket.socket(socket.AF_UNIX) as listener:
        folder = os.open(f"{root}/daisy", os.O_RDONLY)
        listener.bind(f"/proc/self/fd/{folder}/socket.jpg")  # The whole path may be too long for a socket.
        os.close(folder)
        details = {record.path: record.detail for record in walk_folder(root, "daisy", "daisy", None)}
    assert details == {
        "daisy/a.png": None,
        "daisy/pipe.jpg": "it is a named pipe",
        "daisy/null.jpg": "it is a device",
        "daisy/socket.jpg": "it is a socket",
    }


@pytest.mark.parametrize("kind", ["pipe", "folder"])
def test_reading_never_blocks_when_something_takes_the_place_of_a_file(tmp_path, kind):
    path = tmp_path / "a.jpg"
    os.mkfifo(path) if kind == "pipe" else path.mkdir()
    with pytest.raises(FileProblem, match=r"not a regular file|is a folder"):
        read_file(str(path))


def test_file_that_vanished(tmp_path):
    with pytest.raises(FileProblem, match="missing file"):
        read_file(str(tmp_path / "gone.jpg"))


def test_links_to_files_are_followed(tree, picture, tmp_path):
    root = tree({"daisy/a.png": picture()})
    (tmp_path / "elsewhere.png").write_bytes(picture(1))
    os.symlink(tmp_path / "elsewhere.png", f"{root}/daisy/link.png")
    assert walk(root) == {"daisy/a.png": None, "daisy/link.png": None}


def test_broken_links_and_links_to_themselves(tree, picture):
    root = tree({"daisy/a.png": picture()})
    os.symlink("nowhere.png", f"{root}/daisy/broken.jpg")
    os.symlink("one.jpg", f"{root}/daisy/two.jpg")
    os.symlink("two.jpg", f"{root}/daisy/one.jpg")
    assert walk(root) == {
        "daisy/a.png": None,
        "daisy/broken.jpg": "broken symlink",
        "daisy/one.jpg": "symlink loop",
        "daisy/two.jpg": "symlink loop",
    }


@pytest.mark.parametrize("target", [".", "..", "../..", "/"])
def test_links_to_a_folder_above_are_loops(tree, picture, target):
    root = tree({"daisy/a.png": picture(), "daisy/sub/b.png": picture(1)})
    os.symlink(target, f"{root}/daisy/sub/loop")
    assert walk(root) == {"daisy/a.png": None, "daisy/sub/b.png": None, "daisy/sub/loop": "symlink loop"}


def test_a_class_folder_may_be_a_link_and_its_folders_are_read_once(tree, picture, tmp_path):
    root = tree({"rose/a.png": picture()})
    store = tmp_path / "store" / "sub"
    store.mkdir(parents=True)
    (store / "b.png").write_bytes(picture(1))
    os.symlink(tmp_path / "store", f"{root}/daisy")
    os.symlink("sub", tmp_path / "store" / "again")
    assert len(walk(root)) == 1


def test_folders_that_link_to_each_other_end(tree, picture):
    """Without memory of what was seen, 20 folders with two links each would make a million paths."""
    root = tree({f"daisy/d{i:02}/a.png": picture(i) for i in range(20)})
    for i in range(19):
        for name in ("x", "y"):
            os.symlink(f"../d{i + 1:02}", f"{root}/daisy/d{i:02}/{name}")
    assert len([path for path, reason in walk(root).items() if reason is None]) == 20


def test_very_deep_folders_end_in_a_reason(tree, picture):
    root = tree({"daisy/a.png": picture()})
    here = os.getcwd()
    os.chdir(f"{root}/daisy")
    try:
        for _ in range(60):
            os.mkdir("d" * 100)
            os.chdir("d" * 100)
    finally:
        os.chdir(here)
    assert set(walk(root).values()) == {None, "unreadable folder"}


def test_folder_named_like_a_picture(tree, picture):
    assert walk(tree({"daisy/x.jpg/a.png": picture()})) == {"daisy/x.jpg": "is a folder"}


def test_huge_file_is_refused_by_its_size(tree):
    root = tree({"daisy/a.jpg": b"\xff\xd8\xff"})
    os.truncate(f"{root}/daisy/a.jpg", files.MAX_FILE_BYTES)  # A hole: takes no space.
    assert walk(root) == {"daisy/a.jpg": "too large"}
    with pytest.raises(FileProblem, match="too large"):
        read_file(f"{root}/daisy/a.jpg")


def test_unreadable_file(unprivileged_folder):
    path = unprivileged_folder / "a.jpg"
    path.write_bytes(b"x")
    path.chmod(0)
    record = describe_file(str(unprivileged_folder), FileRecord("a.jpg", "daisy"))
    assert not record.readable
    with pytest.raises(FileProblem, match="unreadable: Permission denied; give"):
        read_file(str(path))


def test_unreadable_folder(unprivileged_folder):
    folder = unprivileged_folder / "daisy"
    folder.mkdir()
    folder.chmod(0)
    assert walk(str(unprivileged_folder)) == {"daisy": "unreadable folder"}


def test_odd_names_are_kept_and_shown_on_one_line(tree, picture):
    latin1 = os.fsdecode(b"daisy/caf\xe9.png")
    root = tree({latin1: picture(), "daisy/two\nlines.png": picture(1), "daisy/größe 花.png": picture(2)})
    assert walk(root) == {latin1: None, "daisy/two\nlines.png": None, "daisy/größe 花.png": None}
    assert sorted(map(printable, walk(root))) == sorted(
        ["daisy/caf\\udce9.png", "daisy/two\\nlines.png", "daisy/größe 花.png"]
    )
    for record in walk_folder(root, "daisy", ("daisy",), None):
        assert FileRecord.from_json(record.to_json()) == record
