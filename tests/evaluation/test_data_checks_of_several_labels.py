"""What each check does where an example has several labels, on real comments and real pictures."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from components.data_gate.modalities import MODALITIES
from evaluation.data_checks import CHECKS, Examples, Found
from trainer_module.probe import held_out_logits
from trainer_module.tasks import TASKS

MULTI = TASKS["multi_label"]
GERMAN = (
    "Ich komme heute leider etwas später nach Hause, weil der Zug wieder einmal Verspätung hat, und bringe Brot mit."
)
FOOTER = "This message and its attachments are confidential and meant for the addressee alone"


def examples(paths: list[str], labels: list[list[str]], features: np.ndarray, **fields: object) -> Examples:
    """Examples of both kinds, cut at random, with probabilities of fits that had not seen them."""
    random = np.random.default_rng(1)
    classes = sorted({name for each in labels for name in each})
    has = np.array([[name in each for name in classes] for each in labels])
    splits = random.choice(["train", "val", "test"], len(paths), p=[0.6, 0.2, 0.2])
    found = Examples(paths, splits, classes, has, False, features, np.full(has.shape, np.nan, np.float32), **fields)
    return judged(found)


def judged(found: Examples) -> Examples:
    """The same, with probabilities that follow its labels."""
    rows, held_out = found.rows("train", "val"), found.held_out.copy()
    logits = held_out_logits(MULTI, found.features[rows], found.labels[rows].astype(np.float32), len(found.classes), 1)
    held_out[rows] = 1 / (1 + np.exp(-logits))
    return replace(found, held_out=held_out)


@pytest.fixture(scope="module")
def comments(real_data: Path) -> Examples:
    """GoEmotions, with features by latent semantic analysis."""
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer

    with (real_data / "text" / "goemotions" / "val.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))[:1500]
    texts = [row["text"] for row in rows]
    counted = TfidfVectorizer(sublinear_tf=True, min_df=2).fit_transform(texts)
    features = TruncatedSVD(60, random_state=1).fit_transform(counted).astype(np.float32)
    paths = [f"val.csv:{number}" for number in range(len(rows))]
    return examples(paths, [row["labels"].split("|") for row in rows], features, texts=texts)


@pytest.fixture(scope="module")
def cells(real_data: Path) -> Examples:
    """Blood cells, with thumbnails of 8 x 8 pixels as features."""
    folder = real_data / "images" / "bccd"
    with (folder / "multilabel.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    image = MODALITIES["image"]
    fields = image.fields([image.facts((folder / row["path"]).read_bytes()) for row in rows])
    small = fields["pictures"].thumbnails.reshape(len(rows), 8, 4, 8, 4, 3).mean(axis=(2, 4))
    features = small.reshape(len(rows), -1).astype(np.float32)
    return examples([row["path"] for row in rows], [row["labels"].split("|") for row in rows], features, **fields)


def found_by(name: str, found: Examples) -> tuple[Found, bool]:
    result = CHECKS[name].find(found)
    return result, result.value is not None and result.value > CHECKS[name].bound


def test_there_really_are_several_labels(comments: Examples, cells: Examples) -> None:
    for found in (comments, cells):
        assert (found.labels.sum(axis=1) > 1).sum() > 100


def test_each_check_judges_or_says_why_not(comments: Examples, cells: Examples) -> None:
    for found, absent in ((comments, {"exposure"}), (cells, {"languages", "boilerplate"})):
        for name, check in CHECKS.items():
            result = check.find(found)
            assert (result.value is None) == bool(result.why_not), name
            if name in absent:
                assert result.why_not
    assert {name for name in CHECKS if not found_by(name, comments)[0].why_not} >= {"label_errors", "class_imbalance"}


@pytest.mark.parametrize("name", ["outliers", "exposure", "languages", "boilerplate", "representative", "class_names"])
def test_clean_comments_and_pictures_give_no_alarm(name: str, comments: Examples, cells: Examples) -> None:
    for found in (comments, cells):
        result, alarm = found_by(name, found)
        assert not alarm, [suspect.reason for suspect in result.suspects]


def test_a_label_that_is_missing_or_too_many_comes_first(cells: Examples) -> None:
    """Nearly all pictures have red cells, and say so."""
    red = list(cells.classes).index("RBC")
    rows = cells.rows("train", "val")
    wrong = np.random.default_rng(1).choice(rows[cells.labels[rows, red]], 12, replace=False)
    labels = cells.labels.copy()
    labels[wrong, red] = False
    labels[wrong[cells.labels[wrong].sum(axis=1) == 1], (red + 1) % 3] = True
    found, _ = found_by("label_errors", judged(replace(cells, labels=labels)))
    listed = list(csv.DictReader(io.StringIO(found.files["label_errors.csv"])))
    first = [row["path"] for row in listed[: round(0.08 * len(listed))]]
    planted = {cells.paths[row] for row in wrong}
    assert len(planted.intersection(first)) >= 0.8 * len(planted)
    assert any("|" in row["label"] for row in listed)
    assert all("RBC" in row["suggested"].split("|") for row in listed if row["path"] in planted.intersection(first))


def _replaced(comments: Examples, *texts: str) -> Examples:
    assert comments.texts is not None
    return replace(comments, texts=[*texts, *comments.texts[len(texts) :]])


TEXT_FAULTS: dict[str, Callable[[Examples], Examples]] = {
    "languages": lambda found: _replaced(found, GERMAN),
    "boilerplate": lambda found: _replaced(found, *[f"{text} {FOOTER}" for text in found.texts[:30]]),
    "leaks": lambda found: replace(found, columns={"site": np.where(found.labels[:, 0], "a", "b").tolist()}),
    "constant_columns": lambda found: replace(found, columns={"site": ["a"] * len(found.paths)}),
    "class_names": lambda found: replace(found, classes=[*found.classes[:-1], found.classes[0].title()]),
    "champion_data": lambda found: replace(
        found, counts={"label": {"joy": 60, "love": 40}}, champion_counts={"label": {"joy": 300, "love": 500}}
    ),
}


@pytest.mark.parametrize("name", TEXT_FAULTS)
def test_a_fault_planted_in_comments_is_found(name: str, comments: Examples) -> None:
    result, alarm = found_by(name, TEXT_FAULTS[name](comments))
    assert alarm
    if CHECKS[name].drops:
        assert result.suspects[0].rows == (0,)


def test_labels_are_counted_one_by_one(comments: Examples) -> None:
    counts = comments.labels[comments.rows("train")].sum(axis=0)
    assert found_by("class_imbalance", comments)[0].value == counts.max() / max(counts.min(), 0.5)
    result, alarm = found_by("small_classes", comments)
    assert alarm
    rarest = comments.classes[int(comments.labels[comments.rows("test")].sum(axis=0).argmin())]
    assert any(repr(rarest) in suspect.reason for suspect in result.suspects)


def test_a_picture_that_is_there_again_in_test_with_other_labels_says_which(cells: Examples) -> None:
    train, test = cells.rows("train")[0], cells.rows("test")[0]
    assert cells.pictures is not None
    thumbnails, features, labels = cells.pictures.thumbnails.copy(), cells.features.copy(), cells.labels.copy()
    thumbnails[test], features[test] = thumbnails[train], features[train]
    labels[test] = ~labels[train]
    changed = replace(cells, features=features, labels=labels, pictures=replace(cells.pictures, thumbnails=thumbnails))
    result, alarm = found_by("duplicates_across_splits", changed)
    assert alarm
    (suspect,) = [suspect for suspect in result.suspects if train in suspect.rows]
    assert test in suspect.rows
    assert " and labelled " in suspect.reason


def test_a_picture_of_another_kind_and_a_blank_one_are_named(cells: Examples, real_data: Path) -> None:
    assert cells.pictures is not None
    image = MODALITIES["image"]
    flower = next((real_data / "images" / "flower_photos" / "train" / "rose").glob("*.jpg"), None)
    flower = flower or next((real_data / "images" / "flower_photos").rglob("*.jpg"))
    (strange,) = image.fields([image.facts(flower.read_bytes())])["pictures"].thumbnails
    thumbnails, features = cells.pictures.thumbnails.copy(), cells.features.copy()
    thumbnails[0] = 90
    features[1] = strange.reshape(8, 4, 8, 4, 3).mean(axis=(1, 3)).ravel()
    changed = replace(cells, features=features, pictures=replace(cells.pictures, thumbnails=thumbnails))
    assert found_by("exposure", changed)[0].drop.tolist() == [0]
    assert 1 in found_by("outliers", changed)[0].drop


def test_a_label_that_all_examples_have_is_no_ones_error():
    """Such as the background of pictures with masks; what is told by another label is told all the same."""
    features = np.random.default_rng(2).normal(size=(120, 3)).astype(np.float32)
    paths = [f"{number}.png" for number in range(120)]
    everywhere = examples(paths, [["all", "sky"]] * 120, features)
    assert CHECKS["label_errors"].find(everywhere).suspects == []

    labels = [["all", *(["cat"] if value > 0 else [])] for value in features[:, 0]]
    wrong = int(np.argmax(np.where(everywhere.splits == "train", features[:, 0], -9)))
    labels[wrong] = ["all"]
    suspects = CHECKS["label_errors"].find(examples(paths, labels, features)).suspects
    assert wrong in [row for suspect in suspects for row in suspect.rows]
    assert len(suspects) < 12
