"""Which files of a folder are pictures to learn from without labels."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from PIL import Image

pytest.importorskip("tensorflow")

from components.teacher.unlabelled import Unlabelled


def picture(path: Path, shade: int) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (9, 7), (shade, 0, 0)).save(path)
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_each_picture_counts_once_and_what_the_data_have_or_nobody_can_use_does_not(tmp_path):
    root = tmp_path / "pool"
    first, second = picture(root / "b.png", 10), picture(root / "deep" / "er" / "a.jpg", 20)
    picture(root / "deep" / "copy.png", 10)
    of_test = picture(root / "of_test.png", 30)
    (root / "notes.txt").write_text("not a picture")
    (root / "cut.png").write_bytes((root / "b.png").read_bytes()[:40])
    (root / "empty.png").touch()
    (root / ".hidden.png").write_bytes(b"")
    Image.new("RGB", (200, 200)).save(root / "large.png")
    (root / "loop").symlink_to(root)
    (tmp_path / "link").symlink_to(root)
    for place in (root, tmp_path / "link"):
        pool = Unlabelled(place, known={of_test}, max_pixels=10_000)
        for _ in range(2):
            assert [digest for digest, _ in pool.pictures()] == [first, second]
        assert pool.left_out == {
            "known already": 2, "not an image": 1, "truncated": 1, "empty file": 1, "too large": 1, "symlink loop": 1
        }  # fmt: skip
    sentence = pool.sentence(2)
    assert sentence.startswith(f"2 pictures without labels in {tmp_path / 'link'}; left out: 1 empty file, 2 known al")


def test_an_empty_folder_has_none(tmp_path):
    pool = Unlabelled(tmp_path, known=(), max_pixels=100)
    assert list(pool.pictures()) == []
    assert pool.sentence(0) == f"0 pictures without labels in {tmp_path}"
