"""No later span moves an example or a group, and no test example ever enters training."""

from __future__ import annotations

import hashlib
import random
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from components.example_gen import assignments as subject
from components.example_gen.assignments import Assignments
from components.example_gen.files import FileRecord
from components.example_gen.layouts import Listing
from components.example_gen.selection import Selection
from components.example_gen.settings import IngestSettings
from components.example_gen.settled_selection import select
from components.example_gen.splits import SplitPlan
from finetune.errors import DataError, RunError
from finetune.spans import Span

CUT = SplitPlan({}, {"val": 0.15, "test": 0.15})
FOLDERS = SplitPlan({"train": "train", "test": "test"}, {"val": 0.15})


def sha(name: object) -> str:
    return hashlib.sha256(str(name).encode()).hexdigest()


def record(content: object, span: int, label: str = "", **facts) -> FileRecord:
    labels = tuple(label.split("|")) if label else ("ab"[int(sha(content), 16) % 2],)
    return FileRecord(f"{span}/{content}", labels, sha256=sha(content), span=str(span), **facts)


def selected(
    folder: Path, records: list[FileRecord], plans: dict[str, SplitPlan] | None = None, **settings
) -> Selection:
    """Ingests records that are read already."""
    names = sorted({each.span or "" for each in records}, key=int)
    listing = Listing(
        "manifest",
        records,
        sorted({label for each in records for label in each.labels}),
        CUT,
        [],
        plans=dict.fromkeys(names, replace(CUT, salt=settings.get("split_salt", ""))) | (plans or {}),
        spans=[Span(int(name), name, name) for name in names],
        span_digests=names,
    )
    return select(listing, records, IngestSettings(assignments_dir=str(folder), **settings))


def ingest(*arguments, **settings) -> dict[str, str]:
    """Returns the split of each path."""
    selection = selected(*arguments, **settings)
    return {each.path: split for split, files in selection.examples.items() for each in files}


@pytest.mark.parametrize("task", ["single_label", "multi_label"])
@pytest.mark.parametrize("window", [1, 3, 100])
def test_over_a_year_no_test_example_was_ever_trained_on(tmp_path, task, window):
    """Weeks with groups that come back, copies, late and moved examples, rare labels, and folders for some of them."""
    draw = random.Random(window)
    weeks: dict[int, list[FileRecord]] = {}
    plans: dict[str, SplitPlan] = {}
    used: dict[str, set[str]] = {}
    groups: dict[str, set[str]] = {}
    for week in range(1, 53):
        found = []
        for number in range(draw.choice([0, 12, 40])):
            copied = week > 1 and draw.random() < 0.1
            content = f"{draw.randrange(1, week)}:{draw.randrange(12)}" if copied else f"{week}:{number}"
            label = "|".join(
                sorted({"ab"[int(sha(content), 16) % 2], *(["rare"] if int(sha(content), 16) % 37 < 2 else [])})
            )
            group = f"patient {draw.randrange(week + 5)}" if draw.random() < 0.3 and task == "single_label" else ""
            found.append(record(content, week, label if task == "multi_label" else "", group=group))
        if week % 7 == 3:
            plans[str(week)] = FOLDERS
            found = [
                FileRecord(**{**vars(each), "group": "", "folder": draw.choice(["train", "test"])}) for each in found
            ]
        weeks[week] = list({(each.path, each.folder): each for each in found}.values())
        if week > 2:  # One that comes late.
            weeks[week - 2].append(record(f"late {week}", week - 2, group=""))
        # The same path once: the first one stands.
        for records in weeks.values():
            records[:] = list({each.path: each for each in records}.values())
        inside = [each for span in range(max(1, week - window + 1), week + 1) for each in weeks[span]]
        try:
            splits = ingest(tmp_path, inside, plans, task=task, max_bad_fraction=1.0)
        except DataError:
            continue  # A split of a small window has nothing.
        for each in inside:
            if each.path in splits:
                used.setdefault(each.sha256, set()).add(splits[each.path])
                if each.group:
                    groups.setdefault(each.group, set()).add(splits[each.path])
    assert len(used) > 300
    assert {split for splits in used.values() for split in splits} == {"train", "val", "test"}
    assert [sorted(splits) for splits in used.values() if len(splits) > 1] == []
    assert [sorted(splits) for splits in groups.values() if len(splits) > 1] == []


def test_without_what_is_kept_groups_would_move(tmp_path):
    """The test above can fail: few groups are moved so that no split is empty, which depends on all of them."""
    one = [record(number, 1, group=f"patient {number % 3}") for number in range(30)]
    more = [*one, *(record(number, 2, group=f"patient {number % 20}") for number in range(30, 200))]
    plan = SplitPlan({}, {"val": 0.01, "test": 0.01})
    plans = {"1": plan, "2": plan}

    def moved(first: str, second: str) -> bool:
        before, after = ingest(tmp_path / first, one, plans), ingest(tmp_path / second, more, plans)
        return any(after[path] != split for path, split in before.items())

    assert moved("a", "b")
    assert not moved("c", "c")


def test_an_example_that_somebody_moves_to_another_folder_stays_and_is_told(tmp_path):
    first = [record(number, 1, folder="train" if number < 60 else "test") for number in range(80)]
    before = ingest(tmp_path, first, {"1": FOLDERS})
    moved = [record(number, 1, folder="test" if number < 3 else "train") for number in range(80)]
    assert ingest(tmp_path, moved, {"1": FOLDERS}) == before
    assert len(before) == 80
    (warning,) = [each for each in selected(tmp_path, moved, {"1": FOLDERS}).warnings if "stay" in each]
    assert warning.startswith("data.splits: 23 files stay in the split that they had in an earlier span")
    assert not any("stay" in each for each in selected(tmp_path, first, {"1": FOLDERS}).warnings)


def test_a_copy_in_another_split_of_a_later_span_is_left_out(tmp_path):
    first = [record(number, 1, folder="train" if number < 60 else "test") for number in range(80)]
    before = ingest(tmp_path, first, {"1": FOLDERS})
    second = [*first, record(5, 2, folder="test"), record(75, 2, folder="train")]
    after = ingest(tmp_path, second, {"1": FOLDERS, "2": FOLDERS})
    # Each is in the split of the first, whatever its own folder says.
    assert after["2/5"] == before["1/5"] != "test"
    assert after["2/75"] == "test"


def test_another_salt_cuts_anew(tmp_path):
    records = [record(number, 1) for number in range(200)]
    assert ingest(tmp_path, records) == ingest(tmp_path, records)
    assert ingest(tmp_path, records) != ingest(tmp_path, records, split_salt="other")
    assert len(list(tmp_path.iterdir())) == 2


def test_groups_that_are_named_later_are_cut_anew_and_lose_nothing(tmp_path):
    before = ingest(tmp_path, [record(number, 1) for number in range(200)])
    named = [record(number, 1, group=f"patient {number % 40}") for number in range(200)]
    after = ingest(tmp_path, named, group_column="patient")
    assert set(after) == set(before)
    assert len({(number % 40, after[f"1/{number}"]) for number in range(200)}) == 40


def test_a_stopped_ingest_keeps_nothing(tmp_path):
    with pytest.raises(DataError, match="expected at least 2"):
        ingest(tmp_path, [record(number, 1, "a") for number in range(30)])
    assert list(tmp_path.iterdir()) == []


def test_runs_at_the_same_time_agree(tmp_path):
    def run(number: int) -> dict:
        # Each sees other groups beside the same, which would move them.
        records = [record(each, 1, group=f"patient {each % 3}") for each in range(30)]
        records += [record(f"{number} {each}", 2, group=f"own {number} {each % 4}") for each in range(20)]
        plan = SplitPlan({}, {"val": 0.01, "test": 0.01})
        return ingest(tmp_path, records, {"1": plan, "2": plan})

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(run, range(16)))
    assert (
        len({tuple(sorted((path, split) for path, split in each.items() if path.startswith("1/"))) for each in found})
        == 1
    )
    assert [path.name for path in sorted(tmp_path.glob("*/*"))] == [f"{number + 1:06d}.txt" for number in range(16)]


def test_who_is_slower_decides_again(tmp_path):
    slow, quick = Assignments(tmp_path, ""), Assignments(tmp_path, "")
    assert quick.keep({sha(1): "test"})
    assert not slow.keep({sha(1): "train", sha(2): "val"})
    assert slow.known.get(sha(1)) is None
    slow.read()
    assert slow.known.get(sha(1)) == "test"
    assert slow.keep({sha(1): "train", sha(2): "val"})
    assert Assignments(tmp_path, "").known.get(sha(1)) == "test"
    assert Assignments(tmp_path, "").known.get(sha(2)) == "val"


def test_one_that_is_killed_leaves_nothing_half(tmp_path, monkeypatch):
    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(subject.os, "link", killed)
        with pytest.raises(KeyboardInterrupt):
            Assignments(tmp_path, "").keep({sha(1): "test"})
    assert Assignments(tmp_path, "").known.get(sha(1)) is None
    assert Assignments(tmp_path, "").keep({sha(1): "val"})


def test_a_file_system_without_links(tmp_path, monkeypatch):
    def refused(*_):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(subject.os, "link", refused)
    slow, quick = Assignments(tmp_path, ""), Assignments(tmp_path, "")
    assert quick.keep({sha(1): "test"})
    assert not slow.keep({sha(1): "train"})
    assert Assignments(tmp_path, "").known.get(sha(1)) == "test"


def test_a_damaged_file_and_a_full_disk_are_said(tmp_path, monkeypatch):
    Assignments(tmp_path, "").keep({sha(number): "test" for number in range(3)})
    (path,) = tmp_path.glob("*/*.txt")
    path.write_text(path.read_text()[:50])
    with pytest.raises(RunError, match=r"000001\.txt: 1 lines, and its end is missing"):
        Assignments(tmp_path, "")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(subject.os, "link", full)
    with pytest.raises(RunError, match=r"cannot be kept there: .*No space left"):
        Assignments(tmp_path / "other", "").keep({sha(1): "test"})
    assert [path.name for path in (tmp_path / "other").glob("*/*")] == []
