"""What is kept of examples is what was put, or nothing: after damage, beside other runs, within its bounds."""

import hashlib
import multiprocessing
import os
import threading
import tracemalloc
from pathlib import Path

import numpy as np

from finetune import example_cache
from finetune.example_cache import ExampleCache

GIB = 2**30


def key(number: int) -> bytes:
    return hashlib.sha256(str(number).encode()).digest()


def value(number: int, size: int = 100) -> bytes:
    return np.random.default_rng(number).bytes(size)


def cache(root: Path, made_by: str = "code 1", max_bytes: float = GIB) -> ExampleCache:
    return ExampleCache(root, made_by, max_bytes)


def fill(root: Path, numbers, size: int = 100, **changes) -> None:
    filled = cache(root, **changes)
    for number in numbers:
        filled.put(key(number), value(number, size))
    filled.close()


def kept(root: Path, numbers, size: int = 100, **changes) -> list[int]:
    """Returns which of the numbers are there; all that is there must be what was put."""
    read = cache(root, **changes)
    found = {number: read.get(key(number)) for number in numbers}
    read.close()
    assert all(got in (None, value(number, size)) for number, got in found.items())
    return [number for number, got in found.items() if got is not None]


def segments(root: Path) -> list[Path]:
    return sorted(root.glob("*/*.segment"))


def test_what_was_put_is_there_at_once_after_flush_and_in_the_next_run(tmp_path):
    here = cache(tmp_path / "no" / "folder")
    assert here.get(b"a") is None
    here.put(b"a", b"1")
    here.put(b"", b"")
    here.put(b"long" * 1000, bytes(300_000))
    for _ in range(2):
        assert [here.get(b"a"), here.get(b""), here.get(b"long" * 1000)] == [b"1", b"", bytes(300_000)]
        here.flush()
    here.close()
    again = cache(tmp_path / "no" / "folder")
    assert again.get(b"long" * 1000) == bytes(300_000)
    assert again.get(b"b") is None
    assert again.damaged == 0
    again.close()


def test_what_something_else_made_is_not_taken(tmp_path):
    fill(tmp_path, range(3))
    assert kept(tmp_path, range(3), made_by="code 2") == []
    fill(tmp_path, [9], made_by="code 2")
    (mine,) = cache(tmp_path)._folder.iterdir()
    other = cache(tmp_path, made_by="code 2")._folder / mine.name
    other.write_bytes(mine.read_bytes())
    assert kept(tmp_path, range(10), made_by="code 2") == [9], "a file that was copied is not believed"


def test_every_flipped_byte_costs_at_most_what_it_is_in(tmp_path):
    fill(tmp_path, range(4), size=20)
    (path,) = segments(tmp_path)
    whole = path.read_bytes()
    end = len(whole) - 24
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x40]) + whole[place + 1 :])
        lost = 4 - len(kept(tmp_path, range(4), size=20))
        assert lost == (1 if place < end else 4), place
    path.write_bytes(whole)
    assert len(kept(tmp_path, range(4), size=20)) == 4


def test_every_length_that_a_file_is_cut_to_is_noticed(tmp_path):
    fill(tmp_path, range(4), size=20)
    (path,) = segments(tmp_path)
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        assert kept(tmp_path, range(4), size=20) == []
    cache(tmp_path).tidy()


def test_a_damaged_entry_is_counted_and_made_anew(tmp_path):
    fill(tmp_path, range(4))
    (path,) = segments(tmp_path)
    content = bytearray(path.read_bytes())
    content[60] ^= 1
    path.write_bytes(content)
    mend = cache(tmp_path)
    (lost,) = [number for number in range(4) if mend.get(key(number)) is None]
    assert mend.damaged == 1
    mend.put(key(lost), value(lost))
    mend.close()
    assert kept(tmp_path, range(4)) == [0, 1, 2, 3]


def test_what_was_not_used_for_longest_makes_room(tmp_path):
    for made_by in ("old", "older", "used"):
        fill(tmp_path, range(10), size=1000, made_by=made_by)
    for path in segments(tmp_path):
        os.utime(path, (1000, 1000))
    for when, made_by in ((2000, "old"), (1000, "older")):
        for path in cache(tmp_path, made_by=made_by)._folder.iterdir():
            os.utime(path, (when, when))
    assert kept(tmp_path, [0], size=1000, made_by="used") == [0]
    fill(tmp_path, range(10), size=1000, made_by="new", max_bytes=35_000)
    there = {
        made_by: len(kept(tmp_path, range(10), 1000, made_by=made_by)) for made_by in ("old", "older", "used", "new")
    }
    assert there == {"old": 10, "older": 0, "used": 10, "new": 10}
    assert sum(path.stat().st_size for path in segments(tmp_path)) <= 35_000


def test_what_does_not_fit_beside_what_this_run_uses_is_not_kept(tmp_path, monkeypatch):
    """Otherwise a run over more than fits would remove what the next needs first, and no run would find anything."""
    monkeypatch.setattr(example_cache, "SEGMENT_BYTES", 5_000)
    for _ in range(2):
        fill(tmp_path, range(100), size=1000, max_bytes=20_000)
        assert len(kept(tmp_path, range(100), size=1000)) == 15
    cache(tmp_path, max_bytes=7_000).tidy()
    assert len(kept(tmp_path, range(100), size=1000)) == 5


def test_small_segments_are_merged_and_keep_everything(tmp_path, monkeypatch):
    for number in range(30):
        fill(tmp_path, [number, number + 1])
    assert len(segments(tmp_path)) == 30
    reads_meanwhile = cache(tmp_path)
    assert reads_meanwhile.get(key(0)) == value(0)
    tidied = cache(tmp_path)
    tidied.tidy()
    assert len(segments(tmp_path)) == 1
    for opened in (tidied, cache(tmp_path)):
        assert [opened.get(key(number)) for number in range(31)] == [value(number) for number in range(31)]
    gone = [number for number in range(31) if reads_meanwhile.get(key(number)) not in (value(number), None)]
    assert gone == []
    monkeypatch.setattr(example_cache, "SEGMENT_BYTES", 1_000)
    for number in range(31, 60):
        fill(tmp_path, [number])
    cache(tmp_path).tidy()
    assert kept(tmp_path, range(60)) == list(range(60))
    assert max(path.stat().st_size for path in segments(tmp_path)[1:]) < 6_000


def test_left_behind_and_empty_files_are_removed(tmp_path):
    fill(tmp_path, [1])
    (path,) = segments(tmp_path)
    unfinished = [path.with_name(f".{path.name}.host-1-{n}") for n in range(2)]
    for each in unfinished:
        each.write_bytes(b"part")
    os.utime(unfinished[0], (1000, 1000))
    cache(tmp_path).tidy()
    assert [each.exists() for each in unfinished] == [False, True], "the second may still be written"
    assert kept(tmp_path, [1]) == [1]


def test_a_folder_that_cannot_be_used_stops_nothing(tmp_path, caplog):
    (tmp_path / "file").write_text("no folder")
    here = cache(tmp_path / "file")
    here.put(b"a", b"1")
    here.flush()
    here.tidy()
    assert here.get(b"a") is None
    assert "not kept for the next run" in caplog.text


def test_a_folder_of_someone_else_is_read(tmp_path, monkeypatch):
    fill(tmp_path, range(3))

    def refuse(*_):
        raise PermissionError

    monkeypatch.setattr(os, "utime", refuse)
    assert kept(tmp_path, range(3)) == [0, 1, 2]


def _run(root: Path, first: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    for _ in range(10):
        opened = cache(root, max_bytes=150_000)
        for number in rng.integers(first, first + 300, 60):
            got = opened.get(key(int(number)))
            assert got in (None, value(int(number), 500))
            if got is None:
                opened.put(key(int(number)), value(int(number), 500))
        opened.tidy()
        opened.close()


def test_processes_share_a_folder_and_read_nothing_wrong(tmp_path):
    """Each reads, writes, merges and makes room all the time."""
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_run, args=(tmp_path, 100 * number, number)) for number in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    assert kept(tmp_path, range(500), size=500)
    assert not list(tmp_path.glob("*/.*")), "no unfinished file is left"


def test_threads_share_a_cache(tmp_path):
    fill(tmp_path, range(0, 400, 2))
    shared, wrong = cache(tmp_path), []

    def read_and_write(start: int) -> None:
        for number in range(start, 400, 4):
            if shared.get(key(number)) is None:
                shared.put(key(number), value(number))
            if shared.get(key(number)) != value(number):
                wrong.append(number)

    threads = [threading.Thread(target=read_and_write, args=(start,)) for start in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    shared.close()
    assert wrong == []
    assert len(kept(tmp_path, range(400))) == 400


def test_what_was_written_survives_a_kill_and_what_waits_does_not(tmp_path):
    killed = cache(tmp_path)
    killed.put(b"written", b"1")
    killed.flush()
    killed.put(b"waits", b"2")
    read = cache(tmp_path)
    assert [read.get(b"written"), read.get(b"waits")] == [b"1", None]


def test_values_are_not_held_in_memory(tmp_path, monkeypatch):
    """Of 40 MB that are written, read and merged, two segments are."""
    monkeypatch.setattr(example_cache, "SEGMENT_BYTES", 2_000_000)
    tracemalloc.start()
    for numbers in (range(20), range(20, 40)):
        opened = cache(tmp_path)
        for number in numbers:
            opened.put(key(number), bytes([number]) * 1_000_000)
            opened.get(key(number))
        opened.tidy()
        opened.close()
    opened = cache(tmp_path)
    assert all(opened.get(key(number)) == bytes([number]) * 1_000_000 for number in range(40))
    opened.close()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 10_000_000
