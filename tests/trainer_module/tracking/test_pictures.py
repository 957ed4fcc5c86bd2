"""Pictures for trackers: they show what training sees, and what the model mistakes."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("tensorflow")

from small_training import SIZE, STRONG, make_splits, setup_of, training

from finetune.config import AugmentationConfig
from finetune.events import Note
from trainer_module.tracking.pictures import COPIES, SHOWN, confusion_matrix, of_augmentation, of_mistakes
from trainer_module.tracking.training import Tracking, tell_pictures


def opened(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))


def test_a_sheet_shows_examples_and_what_each_augmentation_makes_of_them(tmp_path):
    phases = [{"name": name, "epochs": 1, "learning_rate": 0.1} for name in ("plain", "again")]
    phases += [{"name": "bright", "epochs": 1, "learning_rate": 0.1, "augmentation": {"brightness": 0.9}}]
    setup = setup_of(make_splits(tmp_path), training(phases=phases), STRONG)
    found = {picture.name: opened(base64.b64decode(picture.png)) for picture in of_augmentation(setup, "r")}
    assert list(found) == ["augmentation/plain", "augmentation/bright"], "the same changes are shown once"
    sheet = found["augmentation/bright"]
    assert sheet.shape == (SHOWN * SIZE, (1 + COPIES) * SIZE, 3)
    columns = sheet.reshape(SHOWN, SIZE, 1 + COPIES, SIZE, 3).mean(axis=(1, 3, 4))
    assert (np.abs(columns[:, 1:] - columns[:, :1]).max(axis=1) > 20).all(), "each is changed"
    plain = setup_of(make_splits(tmp_path), training(phases=phases[:2]), AugmentationConfig())
    assert list(of_augmentation(plain, "r")) == []


def test_the_confusion_matrix_is_dark_where_a_class_is_taken_for_another():
    labels = np.repeat([0, 1, 2], 10)
    said = np.where(labels == 1, 2, labels)
    drawn = opened(confusion_matrix(labels, said, ["a", "$b$", "c"]))
    right = opened(confusion_matrix(labels, labels, ["a", "$b$", "c"]))
    assert drawn.shape == right.shape
    changed = np.argwhere((drawn != right).any(axis=2))
    (top, left), (bottom, end) = changed.min(axis=0), changed.max(axis=0)
    assert bottom - top < drawn.shape[0] / 2, "one row of three has changed"
    assert end - left > 0
    many = confusion_matrix(np.arange(100), np.arange(100), [f"class {number}" for number in range(100)])
    assert opened(many).shape[0] < 1500


def test_only_single_labels_have_one():
    probabilities = np.full([4, 2], 0.5)
    assert len(list(of_mistakes(np.array([0, 1, 0, 1]), probabilities, ["a", "b"], "r"))) == 1
    assert list(of_mistakes(np.eye(4, 2), probabilities, ["a", "b"], "r")) == []
    assert list(of_mistakes(np.ones(4, np.float32), probabilities, ["a", "b"], "r")) == []


def test_a_picture_that_cannot_be_drawn_ends_nothing(heard):
    def broken():
        raise ZeroDivisionError("no")
        yield

    tell_pictures(Tracking("r", [object()], True), broken())
    assert isinstance(heard[-1], Note)
    assert heard[-1].text == "a picture for the trackers was not drawn: ZeroDivisionError: no"
    tell_pictures(Tracking("r", [], False), broken())
    assert len(heard) == 1, "nothing is drawn for nobody"
