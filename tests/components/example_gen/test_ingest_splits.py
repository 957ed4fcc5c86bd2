"""Splits by content and by folder."""

import hashlib

import pytest

from components.example_gen.splits import SplitPlan, plan_splits
from finetune.errors import DataError

DIGESTS = [hashlib.sha256(str(i).encode()).hexdigest() for i in range(20_000)]


def test_content_position_is_uniform_fixed_and_salted():
    positions = [SplitPlan({}, {}).position(digest) for digest in DIGESTS]
    assert min(positions) >= 0
    assert max(positions) < 1
    for bound in (0.1, 0.5, 0.9):
        # Three standard deviations of a binomial share are below 0.011.
        assert sum(position < bound for position in positions) / len(DIGESTS) == pytest.approx(bound, abs=0.011)
    assert SplitPlan({}, {}).position(DIGESTS[0]) == 0.40242093321247197
    assert SplitPlan({}, {}, "other").position(DIGESTS[0]) != SplitPlan({}, {}).position(DIGESTS[0])


@pytest.mark.parametrize(
    ("splits", "shares"),
    [(None, (0.7, 0.15, 0.15)), ({"train": 0.5, "val": 0.2, "test": 0.3}, (0.5, 0.2, 0.3))],
)
def test_fractions_of_everything(splits, shares):
    plan = plan_splits(splits, None, "", "folders")
    got = [plan.cut_by_content(digest) for digest in DIGESTS]
    for split, share in zip(("train", "val", "test"), shares, strict=True):
        assert got.count(split) / len(DIGESTS) == pytest.approx(share, abs=0.011)


def test_a_larger_test_share_takes_from_val_and_train_only():
    small = plan_splits({"train": 0.8, "val": 0.1, "test": 0.1}, None, "", "folders")
    large = plan_splits({"train": 0.7, "val": 0.1, "test": 0.2}, None, "", "folders")
    for digest in DIGESTS[:1000]:
        if small.cut_by_content(digest) == "test":
            assert large.cut_by_content(digest) == "test"


def test_default_of_split_folders_cuts_what_is_missing():
    plan = plan_splits(None, ["test", "train"], "", "folders")
    assert (plan.folders, plan.cuts) == ({"train": "train", "test": "test"}, {"val": 0.15})
    assert plan.held_out_folder("test") == "test"
    got = [plan.held_out_folder("train") or plan.cut_by_content(digest) for digest in DIGESTS]
    assert set(got) == {"train", "val"}
    assert got.count("val") / len(got) == pytest.approx(0.15, abs=0.011)


def test_named_folders():
    plan = plan_splits({"train": "training", "val": "holdout", "test": 0.2}, ["training", "holdout"], "", "folders")
    assert plan.held_out_folder("holdout") == "val"
    assert plan.held_out_folder("training") is None
    assert {plan.cut_by_content(digest) for digest in DIGESTS[:100]} == {"train", "test"}


@pytest.mark.parametrize(
    ("splits", "offered", "says"),
    [
        (
            {"train": "train", "val": "vall", "test": 0.1},
            ["train", "val"],
            "data.splits.val: got 'vall'; the folders of x",
        ),
        ({"train": "train", "val": "vall", "test": 0.1}, ["train", "val"], "'train', 'val'. Did you mean 'val'?"),
        (None, ["training"], "data.splits.train: got 'train'; the folders of x are 'training'. Did you mean"),
        ({"train": "a", "val": "b", "test": "b"}, ["a", "b"], "data.splits.test: got 'b', which is already val"),
        ({"train": "train", "val": 0.1, "test": "val"}, None, "this layout has no named splits"),
    ],
)
def test_names_that_cannot_be_taken(splits, offered, says):
    with pytest.raises(DataError) as caught:
        plan_splits(splits, offered, "", "folders of x")
    assert says in str(caught.value)
