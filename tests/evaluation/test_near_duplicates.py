"""Pictures and texts that are nearly the same, planted among others that are not."""

from __future__ import annotations

import numpy as np
import pytest

from evaluation.data_checks import CHECKS, Examples, Pictures
from evaluation.data_checks.near_duplicates import PictureLooks, TextLooks, groups, hashes, near_duplicates, shingles

WITHIN, ACROSS = CHECKS["near_duplicates"], CHECKS["duplicates_across_splits"]


def thumbnails(count: int, seed: int = 1) -> np.ndarray:
    """Smooth pictures of chance."""
    random = np.random.default_rng(seed)
    coarse = random.integers(0, 256, (count, 8, 8, 3)).astype(np.float32)
    return np.repeat(np.repeat(coarse, 4, axis=1), 4, axis=2).astype(np.uint8)


def pictures(values: np.ndarray) -> Pictures:
    """Pictures with these thumbnails."""
    return Pictures(values, np.full((len(values), 2), 100), np.full(len(values), 1000))


def looking_alike(looks: PictureLooks | TextLooks) -> list[list[int]]:
    """All pairs, sorted."""
    return sorted(np.concatenate(list(looks.pairs())).tolist())


def examples(splits: list[str], features: np.ndarray, labels: list[int] | None = None, **fields: object) -> Examples:
    """Examples of two classes."""
    count = len(splits)
    return Examples(
        paths=[f"{row}.jpg" for row in range(count)],
        splits=np.array(splits),
        classes=("a", "b"),
        labels=np.eye(2, dtype=bool)[labels or [0] * count],
        one_label=True,
        features=features.astype(np.float32),
        held_out=np.full((count, 2), 0.5, np.float32),
        **fields,
    )


def planted() -> tuple[np.ndarray, np.ndarray]:
    """Thumbnails and features of which 2 is like 0, and 5 is like 4; 6 looks like 4 and has other features."""
    random = np.random.default_rng(2)
    values, features = thumbnails(8), random.normal(0, 1, (8, 50))
    noise = random.normal(0, 6, values.shape[1:])
    for copy, original in ((2, 0), (5, 4), (6, 4)):
        values[copy] = np.clip(values[original] + noise, 0, 255)
        if copy != 6:
            features[copy] = features[original] + random.normal(0, 0.1, 50)
    return values, features


def test_a_hash_has_64_bits_and_brightness_does_not_change_it():
    values = thumbnails(200) // 2
    found = hashes(pictures(values))
    assert found.shape == (200, 64)
    assert np.mean(found ^ hashes(pictures(values + 40))) < 0.02
    assert 0.4 < np.mean(found[:100] ^ found[100:]) < 0.6


def test_pairs_look_alike_and_have_like_features():
    values, features = planted()
    assert looking_alike(PictureLooks(hashes(pictures(values)))) == [[0, 2], [4, 5], [4, 6], [5, 6]]
    given = examples(["train"] * 8, features, pictures=pictures(values))
    assert near_duplicates(given).tolist() == [[0, 2], [4, 5]]


def test_blocks_change_nothing(monkeypatch):
    from evaluation.data_checks import near_duplicates as module

    values = np.concatenate([thumbnails(30), thumbnails(30)])
    whole = looking_alike(PictureLooks(hashes(pictures(values))))
    monkeypatch.setattr(module, "_BLOCK", 7)
    assert looking_alike(PictureLooks(hashes(pictures(values)))) == whole
    assert {(row, row + 30) for row in range(30)} <= set(map(tuple, whole))


def test_what_is_repeated_exactly_makes_no_more_pairs_than_there_are_examples():
    many = 3000
    values = np.repeat(thumbnails(2), many, axis=0)
    features = np.repeat(np.random.default_rng(1).normal(0, 1, (2, 20)), many, axis=0)
    given = examples(["train"] * len(values), features, pictures=pictures(values))
    assert len(near_duplicates(given)) == len(values) - 2
    assert [len(group) for group in groups(given)] == [many, many]
    given = examples(["train"] * len(values), features, texts=["yes please"] * many + ["no, not today"] * many)
    assert len(near_duplicates(given)) == len(values) - 2


def test_within_a_split_the_first_stays_and_across_splits_train_gives_way():
    values, features = planted()
    splits = ["train", "train", "train", "train", "val", "test", "test", "test"]
    given = examples(splits, features, [0, 0, 1, 0, 0, 0, 0, 0], pictures=pictures(values))
    within = WITHIN.find(given)
    assert within.drop.tolist() == [2]
    assert within.value == pytest.approx(1 / 8)
    assert within.suspects[0].reason == "nearly the same, 2 times in train, and labelled a and b"
    across = ACROSS.find(given)
    assert across.drop.tolist() == [4], "val gives way to test"
    assert across.value == pytest.approx(1 / 4)
    assert across.suspects[0].rows == (4, 5)
    assert across.suspects[0].reason == "nearly the same in val and test"


def test_what_hangs_together_is_one_group():
    values, features = planted()
    values[7], features[7] = values[2], features[2]
    given = examples(["train"] * 4 + ["test"] * 4, features, pictures=pictures(values))
    assert [group.tolist() for group in groups(given)] == [[0, 2, 7], [4, 5]]
    assert ACROSS.find(given).drop.tolist() == [0, 2]


def test_texts_that_share_most_of_their_pieces():
    long = "Congratulations! You have won a prize of 1000 pounds, call 0800 {} now to claim it before midnight."
    texts = [long.format(1234), "see you at eight", long.format(9876).upper(), "Ok", "ok ", "SEE YOU  at eight", "Oh"]
    plain = [" ".join(text.lower().split()) for text in texts]
    assert looking_alike(TextLooks([shingles(text) for text in plain])) == [[0, 2], [1, 5], [3, 4]]
    random = np.random.default_rng(1)
    features = random.normal(0, 1, (7, 30))
    features[2], features[5], features[4] = features[0], features[1], -features[3]
    assert near_duplicates(examples(["train"] * 7, features, texts=texts)).tolist() == [[1, 5], [0, 2]]


def test_of_anything_else_nothing_is_said():
    given = examples(["train", "test"], np.zeros((2, 3)))
    assert len(near_duplicates(given)) == 0
    assert WITHIN.find(given).value == 0
    assert ACROSS.find(given).value == 0
