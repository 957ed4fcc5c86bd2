"""Synthetic photographs are JPEGs of the promised size, the same for a seed, and their data root can grow."""

import hashlib

from PIL import Image

from benchmarks.synthetic_photographs import CLASSES, write_photographs


def digests(paths):
    return [hashlib.sha256(path.read_bytes()).hexdigest() for path in paths]


def test_photographs_are_as_large_as_those_of_flowers_and_the_same_for_a_seed(tmp_path):
    paths = write_photographs(tmp_path / "a", 10)
    assert [path.relative_to(tmp_path / "a").as_posix() for path in paths[4:6]] == [
        "tulip/0000004.jpg",
        "daisy/0000005.jpg",
    ]
    assert {path.parent.name for path in paths} == set(CLASSES)
    for path in paths:
        with Image.open(path) as picture:
            assert (picture.format, sorted(picture.size)) == ("JPEG", [256, 341])
    assert 18_000 < sum(path.stat().st_size for path in paths) / 10 < 26_000
    written = digests(paths)
    assert len(set(written)) == 10
    assert digests(write_photographs(tmp_path / "b", 10)) == written
    assert digests(write_photographs(tmp_path / "c", 10, seed=1)) != written
    times = [path.stat().st_mtime_ns for path in paths]
    grown = write_photographs(tmp_path / "a", 12)
    assert (digests(grown[:10]), [path.stat().st_mtime_ns for path in grown[:10]]) == (written, times)
    assert digests(write_photographs(tmp_path / "d", 2, first=10)) == digests(grown[10:])
