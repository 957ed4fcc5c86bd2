"""Each fault is planted once and found; clean draws give no more alarms than the level allows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binom

from evaluation import data_checks
from evaluation.data_checks import (
    champion_data,
    classes,
    constant_columns,
    exposure,
    leaks,
    outliers,
    representative,
    served,
    split_shares,
)
from evaluation.data_checks.check import TEST, TRAIN, VAL, DataCheck, Examples, Found, Pictures
from evaluation.data_checks.tail import highest_by_chance

pytestmark = pytest.mark.by_test_current

EXAMPLES, FEATURES, CLASSES = 600, 48, 4
CLEAN_DRAWS = 50
CHECKS: tuple[DataCheck, ...] = (
    representative.REPRESENTATIVE,
    split_shares.SPLIT_SHARES,
    served.SERVED,
    champion_data.CHAMPION_DATA,
    leaks.LEAKS,
    constant_columns.CONSTANT_COLUMNS,
    exposure.EXPOSURE,
    outliers.OUTLIERS,
    classes.CLASS_IMBALANCE,
    classes.SMALL_CLASSES,
    classes.CLASS_NAMES,
)
# Those that look at labels; the others do the same whatever they are.
LABELLED = (leaks.LEAKS, split_shares.SPLIT_SHARES, classes.CLASS_IMBALANCE, classes.SMALL_CLASSES, classes.CLASS_NAMES)
LEVELS = {
    "representative": representative.LEVEL,
    "served": served.LEVEL,
    "champion_data": champion_data.LEVEL,
    "split_shares": split_shares.LEVEL,
    "leaks": leaks.LEVEL,
    "outliers": outliers.LEVEL,
}


def clean(seed: int, several_labels: bool = False) -> Examples:
    random = np.random.default_rng(seed)
    of_class = random.integers(0, CLASSES, EXAMPLES)
    labels = np.eye(CLASSES, dtype=bool)[of_class]
    if several_labels:
        labels |= random.random(labels.shape) < 0.2
    centres = random.normal(size=(CLASSES, FEATURES))
    features = np.maximum(centres[of_class] + random.normal(size=(EXAMPLES, FEATURES)), 0)
    sizes = random.integers(200, 400, (EXAMPLES, 2))
    thumbnails = random.integers(0, 256, (EXAMPLES, 32, 32, 3), dtype=np.uint8)
    return Examples(
        paths=[f"{name}/{random.integers(10**6)}.jpg" for name in of_class],
        splits=random.choice([TRAIN, VAL, TEST], EXAMPLES, p=[0.6, 0.2, 0.2]),
        classes=["daisy", "dandelion", "rose", "tulip"],
        labels=labels,
        one_label=not several_labels,
        features=features.astype(np.float32),
        held_out=np.full(labels.shape, np.nan, np.float32),
        columns={"site": [f"site {number}" for number in random.integers(0, 5, EXAMPLES)]},
        pictures=Pictures(thumbnails, sizes, random.integers(10_000, 90_000, EXAMPLES)),
        counts={"label": _counted(random, 360)},
        champion_counts={"label": _counted(random, 500)},
        served=np.maximum(centres[of_class[:80]] + random.normal(size=(80, FEATURES)), 0).astype(np.float32),
    )


def _counted(random: np.random.Generator, examples: int) -> dict[str, int]:
    counts = random.multinomial(examples, [1 / CLASSES] * CLASSES)
    return dict(zip("abcd", counts.tolist(), strict=True))


def alarm(check: DataCheck, examples: Examples) -> bool:
    value = check.find(examples).value
    return value is not None and value > check.bound


@pytest.fixture(scope="module")
def draws() -> dict[bool, list[Examples]]:
    return {several: [clean(seed, several) for seed in range(CLEAN_DRAWS)] for several in (False, True)}


@pytest.mark.parametrize(
    ("check", "several_labels"),
    [(check, several) for check in CHECKS for several in (False, True) if check in LABELLED or not several],
    ids=lambda value: value.name if isinstance(value, DataCheck) else str(value),
)
def test_clean_draws_give_no_more_alarms_than_the_level_allows(check, several_labels, draws) -> None:
    alarms = sum(alarm(check, examples) for examples in draws[several_labels])
    # A check at its level has more alarms than this in one of a hundred times.
    assert alarms <= binom.ppf(0.99, CLEAN_DRAWS, LEVELS.get(check.name, 0))


def _another_camera(examples: Examples) -> Examples:
    features = examples.features.copy()
    features[examples.splits == TEST] += 0.4
    return replace(examples, features=features)


def _shown_something_else(examples: Examples) -> Examples:
    return replace(examples, served=examples.served + 0.4)


def _less_of_a_class(examples: Examples) -> Examples:
    return replace(examples, counts={"label": {**examples.counts["label"], "a": 30}})


def _with(examples: Examples, **pictures: np.ndarray) -> Examples:
    assert examples.pictures
    return replace(examples, pictures=replace(examples.pictures, **pictures))


def _size_tells(examples: Examples) -> Examples:
    return _with(examples, bytes=50_000 + 1_000 * examples.labels[:, 2] + np.arange(EXAMPLES) % 10)


def _border_tells(examples: Examples) -> Examples:
    thumbnails = examples.pictures.thumbnails.copy()
    thumbnails[examples.labels[:, 1], :2] = 255
    return _with(examples, thumbnails=thumbnails)


def _column_tells(examples: Examples) -> Examples:
    return replace(examples, columns={"site": [f"site {examples.label(row)}" for row in range(EXAMPLES)]})


def _column_says_nothing(examples: Examples) -> Examples:
    return replace(examples, columns={**examples.columns, "scanner": [""] * EXAMPLES})


def _name_tells(examples: Examples) -> Examples:
    paths = [f"{'scan' if has else 'IMG'}_{row}.jpg" for row, has in enumerate(examples.labels[:, 0])]
    return replace(examples, paths=paths)


def _filled(value: int) -> Callable[[Examples], Examples]:
    def plant(examples: Examples) -> Examples:
        thumbnails = examples.pictures.thumbnails.copy()
        noise = np.random.default_rng(0).integers(0, 12, (32, 32, 1))
        thumbnails[7] = np.clip(value + noise * 3 if value < 128 else value - noise, 0, 255)
        return _with(examples, thumbnails=thumbnails)

    return plant


def _blank(examples: Examples) -> Examples:
    thumbnails = examples.pictures.thumbnails.copy()
    thumbnails[7] = 120
    return _with(examples, thumbnails=thumbnails)


def _tiny(examples: Examples) -> Examples:
    sizes = examples.pictures.sizes.copy()
    sizes[7] = 300, 40
    return _with(examples, sizes=sizes)


def _of_another_kind(examples: Examples) -> Examples:
    features = examples.features.copy()
    # In the direction away from all others.
    features[7] = -features.mean(axis=0)
    return replace(examples, features=features)


def _rare_class(examples: Examples) -> Examples:
    rare = examples.labels[:, 3] & (examples.splits == TRAIN)
    return _only(examples, ~rare | (np.cumsum(rare) <= 6))


def _absent_from_test(examples: Examples) -> Examples:
    return _only(examples, ~(examples.labels[:, 3] & (examples.splits == TEST)))


def _only(examples: Examples, kept: np.ndarray) -> Examples:
    rows = np.flatnonzero(kept)
    return replace(
        examples,
        paths=[examples.paths[row] for row in rows],
        splits=examples.splits[rows],
        labels=examples.labels[rows],
    )


def _less_of_a_class_in_train(examples: Examples) -> Examples:
    of_class = (examples.splits == TRAIN) & examples.labels[:, 1]
    return _only(examples, ~of_class | (np.cumsum(of_class) % 4 == 0))


def _spelled_twice(examples: Examples) -> Examples:
    return replace(examples, classes=["daisy", "dandelion", "rose", " Daisy"])


FAULTS: dict[str, tuple[DataCheck, Callable[[Examples], Examples], str]] = {
    "another camera": (representative.REPRESENTATIVE, _another_camera, "of test"),
    "another service": (served.SERVED, _shown_something_else, "80 that were served"),
    "less of a class": (champion_data.CHAMPION_DATA, _less_of_a_class, "label: 'a' went from "),
    "file size": (leaks.LEAKS, _size_tells, "file size alone predicts"),
    "border": (leaks.LEAKS, _border_tells, "of the border alone predicts"),
    "column": (leaks.LEAKS, _column_tells, "column site alone predicts"),
    "constant column": (
        constant_columns.CONSTANT_COLUMNS,
        _column_says_nothing,
        f"column scanner is empty in all {EXAMPLES} examples",
    ),
    "file name": (leaks.LEAKS, _name_tells, "file name alone predicts"),
    "under-exposed": (exposure.EXPOSURE, _filled(4), "under-exposed"),
    "over-exposed": (exposure.EXPOSURE, _filled(255), "over-exposed"),
    "blank": (exposure.EXPOSURE, _blank, "blank"),
    "tiny": (exposure.EXPOSURE, _tiny, "tiny"),
    "another kind": (outliers.OUTLIERS, _of_another_kind, "distance"),
    "rare class": (classes.CLASS_IMBALANCE, _rare_class, "of 'tulip'"),
    "absent from test": (classes.SMALL_CLASSES, _absent_from_test, "test has 0 of 'tulip'"),
    "less of a class in train": (
        split_shares.SPLIT_SHARES,
        _less_of_a_class_in_train,
        ", label: 'dandelion' went from ",
    ),
    "spelled twice": (classes.CLASS_NAMES, _spelled_twice, "'daisy' and ' Daisy'"),
}


# A class of which a split has fewer is also one of another share.
BOTH = {("rare class", split_shares.SPLIT_SHARES), ("absent from test", split_shares.SPLIT_SHARES)}


@pytest.mark.parametrize("several_labels", [False, True], ids=["one label", "several labels"])
@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_found(fault: str, several_labels: bool) -> None:
    check, plant, reason = FAULTS[fault]
    examples = plant(clean(100, several_labels))
    found = check.find(examples)
    assert found.value is not None
    assert found.value > check.bound
    assert reason in found.suspects[0].reason
    if check.drops:
        assert found.drop.tolist() == [7]
        assert found.suspects[0].rows == (7,)
    for other in CHECKS:
        if other is not check and (fault, other) not in BOTH:
            assert not alarm(other, examples), f"{other.name} takes {fault} for its own"


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.name)
def test_a_handful_of_texts_is_judged_or_said_why_not(check: DataCheck) -> None:
    few = _only(clean(0), np.arange(EXAMPLES) < 3)
    features, held_out = few.features[:3], few.held_out[:3]
    found: Found = check.find(
        replace(few, features=features, held_out=held_out, columns={}, pictures=None, served=None, texts=["a"] * 3)
    )
    assert found.value is not None or found.why_not


def test_a_text_of_few_words_is_no_outlier_and_a_longer_one_may_be() -> None:
    far = _of_another_kind(clean(0))
    longer = ["what the others are about, and more"] * EXAMPLES
    texts = replace(far, pictures=None, texts=longer)
    assert outliers.OUTLIERS.find(texts).drop.tolist() == [7]
    assert not alarm(outliers.OUTLIERS, replace(texts, texts=[*longer[:7], "No, four words only.", *longer[8:]]))


@pytest.mark.parametrize("degrees", [4, 8])
def test_the_largest_of_values_of_one_kind_is_seldom_beyond_what_chance_gives(degrees: int) -> None:
    random = np.random.default_rng(degrees)
    above = [
        bool((values > highest_by_chance(values, 0.01)).any())
        for values in (np.log(random.chisquare(degrees, 500)) for _ in range(200))
    ]
    assert sum(above) <= binom.ppf(0.99, 200, 0.01)
    values = random.normal(size=500)
    values[:12] = 40
    assert np.flatnonzero(values > highest_by_chance(values, 0.01)).tolist() == list(range(12))
    assert highest_by_chance(np.ones(500), 0.01) == np.inf


def test_splits_of_few_groups_differ_by_what_groups_do_alone() -> None:
    """Each of 30 patients has features of its own, and is in one split."""
    examples, random = clean(0), np.random.default_rng(0)
    patients = np.arange(EXAMPLES) % 30
    features = examples.features + 3 * random.normal(size=(30, FEATURES))[patients].astype(np.float32)
    splits = np.repeat([TRAIN, VAL, TEST], 10)[random.permutation(30)][patients]
    with_patients = replace(examples, features=features, splits=splits)
    assert alarm(representative.REPRESENTATIVE, with_patients)
    groups = np.char.add("patient ", patients.astype(str))
    assert not alarm(representative.REPRESENTATIVE, replace(with_patients, groups=groups))


def test_without_a_champion_on_other_data_nothing_is_compared_with_its() -> None:
    found = champion_data.CHAMPION_DATA.find(replace(clean(0), champion_counts=None))
    assert (found.value, found.why_not) == (None, "there is no champion that was trained on other data")


def test_an_example_of_test_is_no_part_of_a_leak() -> None:
    examples = clean(0)
    told = np.where(examples.splits == TEST, examples.labels.argmax(axis=1), 0)
    assert not alarm(leaks.LEAKS, replace(examples, columns={"site": told.astype(str).tolist()}))


def test_the_docs_have_a_section_on_each_check() -> None:
    docs = " ".join((Path(__file__).parents[2] / "docs" / "data-checks.md").read_text(encoding="utf-8").split())
    for check in data_checks.CHECKS.values():
        assert f"### `{check.name}`: {check.label}" in docs
        assert check.meaning in docs
        assert check.advice in docs
