"""Which models can teach which, and in what order their classes are."""

from __future__ import annotations

import re

import numpy as np
import pytest

from components.teacher.classes import check_outputs, columns_of, names_said
from finetune.errors import DataError, RunError


def test_columns_are_found_by_name():
    assert columns_of("t", ["tulip", "daisy", "rose"], ["daisy", "rose", "tulip"]).tolist() == [1, 2, 0]


@pytest.mark.parametrize(
    ("theirs", "message"),
    [
        (["daisy", "rose"], "old has 2 classes, and the examples have 3: it does not know 'tulip'. Expected the same"),
        (["daisy", "rose", "tulip", "weed"], "it tells apart as well 'weed'"),
        (["daisy", "rose", "tulips"], "does not know 'tulip' and it tells apart as well 'tulips'.* Did you mean 'tul"),
    ],
)
def test_other_classes_are_refused_by_name(theirs, message):
    with pytest.raises(DataError, match=message):
        columns_of("old", theirs, ["daisy", "rose", "tulip"])


def test_models_of_other_tasks_are_refused():
    check_outputs("old", ["probabilities", "classes", "label"], "single_label")
    message = "old serves classes, label, probabilities, without predicted. That is a model of task single_label, and"
    with pytest.raises(RunError, match=re.escape(message)):
        check_outputs("old", ["probabilities", "classes", "label"], "multi_label")
    with pytest.raises(RunError, match=r"old serves dense_1, without classes, label, probabilities\. Expected"):
        check_outputs("old", ["dense_1"], "single_label")


def test_an_answer_amounts_to_the_most_probable_label_or_to_all_that_are_probable():
    answer, classes = np.array([0.3, 0.5, 0.9]), ["daisy", "rose", "tulip"]
    assert names_said(answer, classes, one_label=True) == ["tulip"]
    assert names_said(answer, classes, one_label=False) == ["rose", "tulip"]
    assert names_said(answer / 2, classes, one_label=False) == []
