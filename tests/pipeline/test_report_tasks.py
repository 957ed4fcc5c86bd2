"""What the report shows of each task, made from real findings."""

from __future__ import annotations

import functools
import html as html_module
import json
import re

import numpy as np
import pytest

from components.bulk_inferrer.answers import Answers
from components.bulk_inferrer.tasks import TASKS as INFERRER_TASKS
from components.bulk_inferrer.test_set import make_test_set
from evaluation.evidence import CANDIDATE
from evaluation.verdict import findings
from finetune.artifacts.evaluation_results import EvaluationResults
from finetune.artifacts.report_data import ReportData
from finetune.errors import RunError
from pipeline.report import page
from pipeline.report.tasks import TASKS, multi_label
from pipeline.report.tasks.contract import check_task
from transforms.objects import Box, Objects

CLASSES = ["bird, wild", "<b>cat</b>", "dog"]
# True labels, and the probability of each class: of the first example nothing is right, of the next one cat is missed
# and bird wrongly said, then all is right, and where nothing is there nothing is said.
EXAMPLES = [
    (["dog"], [0.9, 0.1, 0.2]),
    (["<b>cat</b>", "dog"], [0.8, 0.3, 0.9]),
    (["bird, wild"], [0.7, 0.2, 0.1]),
    (["<b>cat</b>"], [0.1, 0.9, 0.2]),
    ([], [0.1, 0.2, 0.3]),
]
THRESHOLDS = dict(zip(CLASSES, [0.5, 0.4, 0.6], strict=True))


def places(task: str, labels: list[list[str]], probabilities: np.ndarray) -> tuple[np.ndarray | None, list[str]]:
    """What is where, and what is found: boxes side by side, or 100 pixels of each class.

    Found are the classes whose probability reaches the threshold.
    """
    if task == "segmentation":
        there = np.array([[100 * (name in names) for name in CLASSES] for names in labels])
        said = 100 * (probabilities >= list(THRESHOLDS.values()))
        texts = [json.dumps(dict(zip(CLASSES, row, strict=True))) for row in there.tolist()]
        return np.stack([np.minimum(there, said), said], axis=2), texts
    if task != "detection":
        return None, [""] * len(labels)
    edges = [(0.1, 0.3 * column, 0.4, 0.3 * column + 0.2) for column in range(len(CLASSES))]
    boxes = np.array(
        [
            [(*edges[column], column, score, score >= THRESHOLDS[CLASSES[column]]) for column, score in enumerate(row)]
            for row in probabilities
        ]
    )
    found = [tuple(Box(name, edges[CLASSES.index(name)]) for name in names) for names in labels]
    return boxes, [Objects(480, 640, each).to_text() for each in found]


@functools.cache
def data(task: str) -> ReportData:
    """A run of a task: single labels are the first one of each example that has any."""
    examples = EXAMPLES if task != "single_label" else [(names[:1], values) for names, values in EXAMPLES if names]
    probabilities = np.array([values for _, values in examples])
    said = probabilities >= list(THRESHOLDS.values()) if task in ("multi_label", "segmentation") else None
    found, objects = places(task, [names for names, _ in examples], probabilities)
    test_set = make_test_set(
        task,
        [names for names, _ in examples],
        {},
        {CANDIDATE: Answers(probabilities, CLASSES, said, found)},
        objects=objects,
    )
    candidate = test_set.of(CANDIDATE)
    asked = INFERRER_TASKS[task]
    rows = [
        {"path": f"{number}.txt", "text": f"text {number}", "probability": sure, **answer}
        for number, (sure, answer) in enumerate(
            zip(asked.confidence(candidate).tolist(), asked.shown(candidate, test_set.classes), strict=True)
        )
    ]
    scores = asked.score(candidate, test_set.classes)
    tested = EvaluationResults.model_validate({**scores, "samples": rows})
    found = findings(test_set, [])
    summary = {
        "run_id": "run-7",
        "name": "pets",
        "status": "refused",
        "metrics": {name: metric.value for name, metric in found.metrics.items()},
        "output_dir": "runs",
        "seconds": 1.0,
    }
    return ReportData.model_validate(
        {
            "title": "pets",
            "task": task,
            "summary": summary,
            "accuracy_means": "share of what is right",
            "thresholds": THRESHOLDS if task == "multi_label" else {},
            "classes": tested.classes,
            "confusion": tested.confusion,
            "per_class": [row.plain() for row in tested.per_class],
            "samples": [sample.plain() for sample in tested.samples],
            "evaluation": found.plain(),
        }
    )


def words(html: str) -> str:
    return html_module.unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", html)))


@pytest.mark.parametrize("task", TASKS)
def test_every_task_keeps_the_contract(task: str):
    check_task(task, TASKS[task], data(task))


def test_a_section_that_shows_nothing_breaks_the_contract():
    empty = data("multi_label").model_copy(update={"confusion": []})
    with pytest.raises(AssertionError, match="section confused shows nothing of a whole run"):
        check_task("multi_label", TASKS["multi_label"], empty)


def test_a_task_that_no_section_is_known_of():
    with pytest.raises(RunError, match=r"got 'multi_lable' in the data of a report; .* Did you mean 'multi_label'\?"):
        page.render(data("multi_label").model_copy(update={"task": "multi_lable"}))


def test_labels_are_shown_weakest_first_with_their_thresholds_and_intervals():
    shown = multi_label.labels(data("multi_label"))
    assert [row["name"] for row in shown["rows"]] == ["bird, wild", "<b>cat</b>", "dog"]
    assert [row["threshold"] for row in shown["rows"]] == [0.5, 0.4, 0.6]
    assert shown["headings"][:4] == ["Precision", "Recall", "F1", "Average precision"]
    assert {"AUC", "Specificity", "Sensitivity at 95 % specificity"} < set(shown["headings"])
    for row in shown["rows"]:
        assert row["cells"]["f1"]["interval"]
    # Said of three, of which one has it.
    assert shown["rows"][0]["cells"]["precision"]["value"] == pytest.approx(1 / 3)


def test_without_thresholds_there_is_no_column_of_them():
    run = data("multi_label")
    assert "Threshold" in page.render(run)
    assert "Threshold" not in page.render(run.model_copy(update={"thresholds": {}}))


@pytest.mark.parametrize("part", ["thresholds", "classes", "confusion", "per_class", "samples", "evaluation"])
def test_a_part_that_is_missing_leaves_the_others(part: str):
    without = {name: value for name, value in data("multi_label").plain().items() if name != part}
    text = words(page.render(ReportData.model_validate(without)))
    assert "Predictions" in text
    assert "Confused" in text


def test_very_many_labels_are_drawn_as_far_as_bars_can_be_told_apart():
    row = data("multi_label").per_class[0]
    many = [row.model_copy(update={"name": f"label {number}"}) for number in range(100)]
    shown = multi_label.labels(data("multi_label").model_copy(update={"per_class": many}))
    assert len(shown["rows"]) == 100
    assert shown["hidden"] == 100 - multi_label.BARS_SHOWN


def test_labels_are_confused_where_one_is_missed_and_the_other_wrongly_said():
    shown = multi_label.confused(data("multi_label"))
    assert shown["pairs"] == [
        {"missed": "<b>cat</b>", "said": "bird, wild", "count": 1, "share": 1.0, "total": 1},
        {"missed": "dog", "said": "bird, wild", "count": 1, "share": 1.0, "total": 1},
    ]
    assert shown["kinds"] == 2


def test_each_label_of_an_example_is_right_missed_or_wrong():
    shown = multi_label.labelled_samples(data("multi_label"))
    marks = {
        row["file"]: {label["name"]: label["mark"] for label in row["labels"]}
        for row in (*shown["mistakes"], *shown["correct"])
    }
    assert marks == {
        "0.txt": {"dog": "missed", "bird, wild": "wrong"},
        "1.txt": {"<b>cat</b>": "missed", "dog": "right", "bird, wild": "wrong"},
        "2.txt": {"bird, wild": "right"},
        "3.txt": {"<b>cat</b>": "right"},
        "4.txt": {},
    }
    assert [row["file"] for row in shown["mistakes"]] == ["0.txt", "1.txt"]
    text = words(page.render(data("multi_label")))
    assert "dog missed bird, wild wrong" in text
    assert "no label, and none was said" in text


def test_the_page_says_what_it_calls_accuracy():
    point = {"phase": "head", "epoch": 1, "learning_rate": 0.1}
    curve = {**point, **dict.fromkeys(("loss", "accuracy", "val_loss", "val_accuracy"), 0.5)}
    run = ReportData.model_validate({**data("multi_label").plain(), "curves": [curve]})
    assert "Accuracy is the share of what is right." in words(page.render(run))


def test_probabilities_of_several_labels_are_said_to_be_of_labels():
    assert re.search(r"sure of each label, and \d+% are there", words(page.render(data("multi_label"))))
    assert re.search(r"sure of each example, and \d+% are right", words(page.render(data("single_label"))))


def test_names_of_labels_are_shown_as_text():
    assert "<b>cat</b>" not in page.render(data("multi_label"))
    odd = data("multi_label").per_class[0].model_copy(update={"name": "$x_$\x07" + "long " * 20})
    assert "$x_$" in page.render(data("multi_label").model_copy(update={"per_class": [odd]}))
