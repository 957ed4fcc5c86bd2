"""Every way to change a file shows without reading it, and nothing else does."""

from __future__ import annotations

import os
import time

import pytest

from finetune.file_stats import CLOCK_NS, stats_of


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "data" / "a").mkdir(parents=True)
    (tmp_path / "data" / "b").mkdir()
    for name in ("a/1", "a/2", "b/1"):
        (tmp_path / "data" / name).write_bytes(b"1234")
    (tmp_path / "data" / "link").symlink_to("a/1")
    (tmp_path / "data" / "loop").symlink_to(".")
    return tmp_path / "data"


def replaced_with_same_size_and_time(folder):
    times = (folder / "a/1").stat()
    (folder / "a/new").write_bytes(b"4321")
    os.utime(folder / "a/new", ns=(times.st_atime_ns, times.st_mtime_ns))
    (folder / "a/new").replace(folder / "a/1")


def overwritten_with_same_size_and_time(folder):
    times = (folder / "a/1").stat()
    time.sleep(0.02)  # past the tick of the kernel's clock
    with (folder / "a/1").open("r+b") as file:
        file.write(b"4321")
    os.utime(folder / "a/1", ns=(times.st_atime_ns, times.st_mtime_ns))


def swapped(folder):
    (folder / "a/1").rename(folder / "a/kept")
    (folder / "a/2").rename(folder / "a/1")
    (folder / "a/kept").rename(folder / "a/2")


@pytest.mark.parametrize(
    "change",
    [
        replaced_with_same_size_and_time,
        overwritten_with_same_size_and_time,
        swapped,
        lambda folder: (folder / "a/1").write_bytes(b"12345"),
        lambda folder: (folder / "a/1").unlink(),
        lambda folder: (folder / "a/1").rename(folder / "b/2"),
        lambda folder: (folder / "a/3").touch(),
        lambda folder: (folder / "c").mkdir(),
        lambda folder: os.utime(folder / "a/1", ns=(0, 0)),
        lambda folder: ((folder / "link").unlink(), (folder / "link").symlink_to("a/2")),
        lambda folder: ((folder / "loop").unlink(), (folder / "loop").symlink_to("absent")),
        lambda folder: folder.rename(folder.with_name("elsewhere")),
    ],
)
def test_every_change_shows(folder, change):
    before = stats_of(folder)
    assert stats_of(folder) == before
    change(folder)
    assert stats_of(folder).digest != before.digest


def test_reading_and_moving_the_whole_change_nothing(folder):
    before = stats_of(folder)
    (folder / "a/1").read_bytes()
    moved = folder.rename(folder.with_name("moved"))
    assert stats_of(moved) == before


def test_a_single_file_and_none_are_looked_at_too(folder, tmp_path):
    assert stats_of(folder / "a/1").digest != stats_of(folder / "a/2").digest
    assert stats_of(tmp_path / "absent") == stats_of(tmp_path / "absent")
    assert stats_of(tmp_path / "absent").changed_ns == 0


def test_what_changed_within_a_tick_of_the_clock_is_not_settled(folder):
    changed = stats_of(folder).changed_ns
    assert not stats_of(folder).settled(changed)
    assert not stats_of(folder).settled(changed + CLOCK_NS)
    assert stats_of(folder).settled(changed + CLOCK_NS + 1)
    assert not stats_of(folder).settled(changed - 3600 * 10**9), "a clock that was set back"
