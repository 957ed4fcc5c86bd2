"""What a config may ask of an earlier task."""

from __future__ import annotations

import pytest

from pipeline.checks import files_exist, source_task_can_be_probed

SMALL = {"name": "SmallCNN", "weights": "weights.h5"}


def problems(task="single_label", **sections):
    return source_task_can_be_probed(
        {"task": task, "evaluation": {"source_task": "earlier"}, "backbone": SMALL, **sections}
    )


def test_a_pretrained_backbone_can_be_probed_whatever_its_new_task():
    assert not problems()
    assert not problems("multi_label")


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"backbone": {**SMALL, "weights": "random"}}, "backbone.weights is 'random'; expected pretrained"),
        ({"task": "detection"}, "with task detection; probes are of one backbone of whole examples"),
        ({"task": "segmentation"}, "with task segmentation; probes are of one backbone of whole examples"),
    ],
)
def test_what_has_no_features_of_its_own_is_an_error(given, named):
    (problem,) = problems(**given)
    assert problem.startswith("evaluation.source_task: got 'earlier'")
    assert named in problem


def test_a_folder_that_is_not_here_is_named(tmp_path):
    def found(folder):
        raw = {"data": {"root": str(tmp_path)}, "evaluation": {"source_task": str(folder)}, "backbone": SMALL}
        return [problem for problem in files_exist(raw) if "source_task" in problem]

    assert not found(tmp_path)
    (problem,) = found(tmp_path / "absent")
    assert "absent" in problem
    assert "not a folder here" in problem
