"""What becomes of the files, once all of them are read."""

import pytest

from components.example_gen import selection as subject
from components.example_gen.files import FileRecord
from components.example_gen.layouts import list_files
from components.example_gen.selection import Selection, make_shards, select_examples, stop_error
from components.example_gen.settings import IngestSettings
from components.example_gen.tasks.single_label import SingleLabel
from finetune.artifacts.ingest_report import Duplicates


@pytest.fixture
def select(tree, read):
    """Writes files under the data root and selects from everything there."""

    def run(files: dict[str, bytes], max_bad_fraction: float = 1.0, **settings) -> Selection:
        root = tree(files)
        listing = list_files(root, IngestSettings(**settings))
        return select_examples(listing, read(root, listing), max_bad_fraction, SingleLabel())

    return run


@pytest.fixture
def three_splits(picture) -> dict[str, bytes]:
    """Two classes with four pictures each in each split folder."""
    names = [f"{s}/{c}/{i}.png" for s in ("train", "val", "test") for c in ("daisy", "rose") for i in range(4)]
    return {name: picture(seed) for seed, name in enumerate(names)}


def paths(selection: Selection) -> dict[str, set[str]]:
    return {split: {file.path for file in files} for split, files in selection.examples.items()}


def test_everything_usable(select, three_splits):
    selection = select(three_splits, max_bad_fraction=0.0)
    assert selection.problems == []
    assert paths(selection) == {s: {p for p in three_splits if p.startswith(s)} for s in ("train", "val", "test")}
    assert selection.report.plain() == {
        "schema_version": 1,
        "unit": "files",
        "files": 24,
        "used": 24,
        "splits": {
            s: {"examples": 8, "classes": {"daisy": 4, "rose": 4}, "unlabelled": 0, "groups": None}
            for s in ("train", "val", "test")
        },
        "skipped": [],
        "conflicts": [],
        "duplicates": {"within_split": 0, "across_splits": []},
        "bad_fraction": 0.0,
        "ignored": [],
        "spans": [],
        "waiting": [],
        "odd_annotations": {},
    }
    digests = [file.sha256 for file in selection.examples["train"]]
    assert digests == sorted(digests)


def test_added_data_does_not_move_old_files(select, picture):
    old = {f"{'daisy' if i % 2 else 'rose'}/{i}.png": picture(i) for i in range(60)}
    before = paths(select(old))
    assert all(before.values())
    after = paths(select({f"{'daisy' if i % 2 else 'tulip'}/new{i}.png": picture(1000 + i) for i in range(60)}))
    for split in before:
        assert {path for path in after[split] if "new" not in path} == before[split]


def test_salt_cuts_other_splits(select, picture):
    files = {f"{'daisy' if i % 2 else 'rose'}/{i}.png": picture(i) for i in range(40)}
    assert paths(select(files)) != paths(select(files, split_salt="pepper"))


def test_copies_with_one_label_share_a_split_and_are_kept(select, picture):
    selection = select(
        {f"{'daisy' if i % 2 else 'rose'}/{i}{copy}.png": picture(i) for i in range(30) for copy in "ab"}
    )
    for files in selection.examples.values():
        names = {file.path for file in files}
        assert all(name.replace("a.png", "b.png") in names for name in names)
    assert selection.report.used == 60
    assert selection.report.duplicates == Duplicates(within_split=30)


@pytest.mark.parametrize(
    ("copies", "left_out"),
    [
        (["train", "val", "test"], {"train", "val"}),
        (["train", "val"], {"train"}),
        (["val", "test"], {"val"}),
        (["train", "test"], {"train"}),
    ],
)
def test_of_copies_across_splits_the_most_held_out_is_kept(select, three_splits, picture, copies, left_out):
    selection = select({**three_splits, **{f"{split}/rose/copy.png": picture(99) for split in copies}}, 0.0)
    expected = [f"{split}/rose/copy.png" for split in sorted(left_out)]
    assert selection.report.duplicates.across_splits == expected
    assert [(s.path, s.reason) for s in selection.report.skipped] == [
        (path, "duplicate across splits") for path in expected
    ]
    assert selection.report.bad_fraction == 0
    assert selection.problems == []
    assert selection.report.files == selection.report.used + len(left_out)


def test_copies_in_train_and_what_is_cut_from_it(select, three_splits, picture):
    """A copy of a val picture in train follows val, also when test is cut from train."""
    files = {path: data for path, data in three_splits.items() if not path.startswith("test")}
    files |= {f"train/rose/more{i}.png": picture(200 + i) for i in range(30)}
    selection = select({**files, "train/rose/copy.png": files["val/rose/0.png"]})
    kept = set().union(*paths(selection).values()) & {"train/rose/copy.png", "val/rose/0.png"}
    assert len(kept) == 1


def test_the_same_bytes_under_two_labels(select, three_splits, picture):
    selection = select({**three_splits, "train/rose/x.png": picture(99), "test/daisy/y.png": picture(99)}, 0.0)
    (conflict,) = selection.report.conflicts
    assert [file.plain() for file in conflict.files] == [
        {"path": "test/daisy/y.png", "label": "daisy"},
        {"path": "train/rose/x.png", "label": "rose"},
    ]
    assert [skip.reason for skip in selection.report.skipped] == ["conflict", "conflict"]
    assert "'daisy' and 'rose'" in selection.report.skipped[0].detail
    assert selection.report.bad_fraction == 2 / 26
    assert "got 2 unusable of 26 files (7.7%); expected at most 0.0%" in selection.problems[0]


def test_bad_fraction_stops_above_its_bound_and_not_at_it(select, three_splits):
    files = {**three_splits, "train/rose/LICENSE.txt": b"MIT licence"}
    assert select(files, max_bad_fraction=1 / 25).problems == []
    selection = select(files, max_bad_fraction=0.0399)
    assert selection.problems[0].startswith("data.max_bad_fraction: got 1 unusable of 25 files (4.0%)")


def test_stop_error_shows_the_first_files_the_counts_and_where_the_list_is(select, three_splits):
    bad = {f"train/rose/{i}.jpg": b"text" for i in range(7)} | {"val/rose/e.jpg": b""}
    message = str(stop_error(select({**three_splits, **bad}, 0.05), "/reports/bad_files.json"))
    assert "Unusable files: 7 not an image, 1 empty file." in message
    assert "train/rose/0.jpg: not an image: it looks like text" in message
    assert "train/rose/5.jpg" not in message
    assert "... and 3 more" in message
    assert message.endswith("The whole list: /reports/bad_files.json")


def test_report_is_json_on_valid_unicode(select, three_splits):
    odd = {"train/rose/caf\udce9.txt": b"x", "train/rose/a\nb.txt": b"x"}
    text = select({**three_splits, **odd}).report.text()
    assert "caf\\\\udce9.txt" in text
    assert "a\\\\nb.txt" in text
    text.encode("utf-8")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda name: not name.startswith("train/rose"), "class 'rose' has files in val and test and none in train"),
        (lambda name: "rose" not in name, "got 1 class (daisy); expected at least 2"),
    ],
)
def test_classes_that_cannot_be_learned(select, three_splits, change, says):
    problems = select({name: data for name, data in three_splits.items() if change(name)}).problems
    assert any(says in problem for problem in problems)


def test_misspelt_class_in_val(select, three_splits, picture):
    problems = select({**three_splits, "val/rosse/a.png": picture(99)}).problems
    assert problems == [
        "data.splits: class 'rosse' has files in val and none in train, so it cannot be learned. Add files to train, "
        "or remove the class. Did you mean 'rose'?"
    ]


def test_class_without_usable_image(select, three_splits):
    problems = select({**three_splits, "train/tulip/a.jpg": b"text"}).problems
    assert problems == ["data.root: class 'tulip' has no usable file. Add files, or remove the class."]


@pytest.mark.parametrize("empty", ["train", "val", "test"])
def test_empty_split(select, three_splits, empty):
    files = {name: b"" if name.startswith(empty) else data for name, data in three_splits.items()}
    assert any(f"data.splits: {empty} has no example." in problem for problem in select(files).problems)


def test_no_files_at_all(select):
    (problem,) = select({"a.jpg": b"x", "b.jpg": b"y"}).problems
    assert "got no files in class folders" in problem
    assert "a.jpg, b.jpg" in problem


def test_many_problems_are_cut_short(select, three_splits):
    files = {**three_splits, **{f"train/class{i:02}/a.jpg": b"text" for i in range(40)}}
    assert str(stop_error(select(files), None)).count("has no usable file") == subject.SHOWN_PROBLEMS


def test_shards_by_number_and_size(monkeypatch):
    monkeypatch.setattr(subject, "MAX_SHARD_EXAMPLES", 3)
    monkeypatch.setattr(subject, "MAX_SHARD_BYTES", 100)
    sizes = [300, 10, 10, 10, 10, 90, 20, 500, 60, 40]
    shards = make_shards(FileRecord(str(i), ("rose",), size=size) for i, size in enumerate(sizes))
    assert [[record.size for record in shard] for shard in shards] == [
        [300],
        [10, 10, 10],
        [10, 90],
        [20],
        [500],
        [60, 40],
    ]
    assert list(make_shards([])) == []
