"""Examples of earlier spans that are trained on once more: which, how many, and never one of test."""

from __future__ import annotations

import hashlib

import pytest
from pydantic import ValidationError

from components.example_gen.files import FileRecord
from components.example_gen.layouts import Listing
from components.example_gen.replay import Replay
from components.example_gen.selection import NOT_REPLAYED, Selection
from components.example_gen.settings import IngestSettings
from components.example_gen.settled_selection import select
from components.example_gen.spans import resolve_spans
from components.example_gen.splits import SplitPlan
from finetune.config import Config
from finetune.config.data import DataConfig, ReplayConfig
from finetune.errors import DataError
from finetune.spans import Span

CUT = SplitPlan({}, {"val": 0.2, "test": 0.2})


def contents(count: int, label: str, first: int = 0) -> dict[str, tuple[str, ...]]:
    return {hashlib.sha256(f"{first + i}".encode()).hexdigest(): (label,) for i in range(count)}


@pytest.mark.parametrize(("share", "reservoir"), [(0.25, None), (None, 2500)])
def test_as_much_is_replayed_as_is_asked_for_and_the_same_each_time(share, reservoir):
    train, val = contents(10_000, "a"), contents(2000, "a", 50_000)
    replay = Replay(share, reservoir)
    chosen = replay.chosen(train, val)
    assert chosen == replay.chosen(dict(reversed(train.items())), val)
    assert len(chosen & train.keys()) == pytest.approx(2500, abs=0 if reservoir else 120)
    assert len(chosen & val.keys()) == pytest.approx(500, abs=0 if reservoir else 60)


def test_a_larger_share_keeps_what_a_smaller_one_had_and_a_reservoir_forgets_evenly():
    train = contents(1000, "a")
    few, many = (Replay(share).chosen(train, {}) for share in (0.1, 0.5))
    assert few < many
    later = train | contents(1000, "a", 1000)
    before, after = (Replay(reservoir=100).chosen(each, {}) for each in (train, later))
    assert len(before) == len(after) == 100
    assert after & train.keys() < before, "what left the reservoir does not come back"
    assert len(after & train.keys()) == pytest.approx(50, abs=15)


def test_a_class_of_long_ago_keeps_an_example_unless_nothing_is_replayed():
    train = contents(1000, "common") | contents(2, "rare", 5000)
    for replay in (Replay(0.01), Replay(reservoir=5)):
        assert {label for each in replay.chosen(train, {}) for label in train[each]} == {"common", "rare"}
    assert Replay(0.0).chosen(train, contents(9, "common", 9000)) == set()
    assert Replay(1.0).chosen(train, {}) == train.keys()


def ingest(replay: dict | None, window: int, folder, weeks: int = 4) -> Selection:
    """Weeks of 100 examples each, with a copy of the one before in the last."""
    records = []
    for week in range(1, weeks + 1):
        for number in range(100):
            of = week - 1 if week == weeks and number == 0 else week
            digest = hashlib.sha256(f"{of}:{number}".encode()).hexdigest()
            records.append(FileRecord(f"{week}/{number}", ("ab"[number % 2],), sha256=digest, span=str(week)))
    names = [str(week) for week in range(1, weeks + 1)]
    listing = Listing(
        "classes", records, ["a", "b"], CUT, [], plans=dict.fromkeys(names, CUT),
        spans=[Span(int(name), name, name) for name in names], span_digests=names,
    )  # fmt: skip
    return select(listing, records, IngestSettings(window=window, replay=replay, assignments_dir=str(folder)))


def test_the_window_is_trained_on_whole_and_all_test_examples_are_tested_on(tmp_path):
    whole = ingest(None, 1, tmp_path / "whole")
    replayed = ingest({"share": 0.3}, 1, tmp_path / "replayed")
    assert replayed.examples["test"] == whole.examples["test"]
    for split in ("train", "val"):
        of_window = [[each for each in one.examples[split] if each.span == "4"] for one in (whole, replayed)]
        assert of_window[0] == of_window[1]
        earlier = [sum(each.span != "4" for each in one.examples[split]) for one in (whole, replayed)]
        assert 0 < earlier[1] < 0.5 * earlier[0]
    digests = {split: {each.sha256 for each in files} for split, files in replayed.examples.items()}
    assert not digests["test"] & (digests["train"] | digests["val"])
    assert {each.reason for each in replayed.left_out} == {NOT_REPLAYED}
    assert replayed.report.bad_fraction == 0
    assert sum(sum(span.splits.values()) for span in replayed.report.spans) == replayed.report.used
    assert replayed.problems == []


def test_a_class_that_earlier_spans_alone_have_is_tested_on_and_told_and_no_problem(tmp_path):
    def of(replay: dict, labels: dict[str, str]) -> Selection:
        records = [
            FileRecord(f"{week}/{label}/{number}", (label,), sha256=hashlib.sha256(name).hexdigest(), span=week)
            for week, own in labels.items()
            for number in range(200)
            for label in [own[number % len(own)]]
            for name in [f"{week}:{number}".encode()]
        ]
        listing = Listing(
            "classes", records, sorted(set("".join(labels.values()))), CUT, [], plans=dict.fromkeys(labels, CUT),
            spans=[Span(int(name), name, name) for name in labels], span_digests=list(labels),
        )  # fmt: skip
        return select(listing, records, IngestSettings(window=1, replay=replay, assignments_dir=str(tmp_path)))

    two, left_behind = {"1": "ab", "2": "bcd"}, "data.window: nothing is trained on of a, which"
    alone = of({"share": 0}, two)
    assert alone.report.splits["test"].classes.keys() == set("abcd")
    assert alone.report.splits["train"].classes.keys() == set("bcd")
    assert [warning for warning in alone.warnings if warning.startswith(left_behind)]
    replayed = of({"share": 0.5}, two)
    assert replayed.report.splits["train"].classes.keys() == set("abcd")
    assert not [warning for warning in replayed.warnings if warning.startswith(left_behind)]
    with pytest.raises(DataError, match="got 1 class"):
        of({"share": 0}, {"1": "ab", "2": "c"})


def test_a_gate_on_what_was_forgotten_reads_the_test_examples_of_spans_before_the_window():
    def replay_of(metric: str, **data: object) -> ReplayConfig | None:
        gate = {"metric": metric, "min": 0, "relative_to": "champion"}
        whole = {"name": "x", "backbone": {"name": "SmallCNN", "weights": "random"}, "evaluation": {"gates": [gate]}}
        return Config.model_validate({**whole, "data": {"root": "store/{SPAN}", **data}}).data.replay

    assert replay_of("retention", window=2) == ReplayConfig(share=0)
    assert replay_of("retention", window=2, replay={"share": 0.1}) == ReplayConfig(share=0.1)
    assert replay_of("retention") is None, "the window holds all"
    assert replay_of("accuracy", window=2) is None


def test_with_replay_the_spans_before_the_window_are_read_as_well(tmp_path):
    for week in "123":
        (tmp_path / week / "a").mkdir(parents=True)
    root = f"{tmp_path}/{{SPAN}}"
    settings = [IngestSettings(window=1, replay=replay) for replay in (None, {"share": 0.5})]
    found = [resolve_spans(root, each, lambda root: "") for each in settings]
    assert [[span.name for span in each.spans] for each in found] == [["3"], ["1", "2", "3"]]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"replay": {"share": 0.1}}, r"expected a number of spans, such as `window: 1`"),
        ({"window": 1, "replay": {}}, "exactly one of `share` and `reservoir`"),
        ({"window": 1, "replay": {"share": 0.1, "reservoir": 5}}, "exactly one of `share` and `reservoir`"),
        ({"window": 1, "replay": {"share": 1.5}}, "less than or equal to 1"),
    ],
)
def test_what_cannot_be_replayed(data, message):
    with pytest.raises(ValidationError, match=message):
        DataConfig(root="store/{SPAN}", **data)
