"""A gate that cannot be measured is a mistake in the config, and all such mistakes are told at once."""

from __future__ import annotations

import pytest

from evaluation.checks import gates_can_be_measured, tuning_can_be_measured


@pytest.mark.parametrize(
    ("gate", "problem"),
    [
        ({"metric": "acuracy"}, ".metric: got 'acuracy'; expected one of accuracy, macro_f1,"),
        ({"metric": "micro_f1"}, ".metric: got 'micro_f1', which is for task multi_label; expected one of accuracy,"),
        ({"metric": "recall"}, ".of_class: missing; recall is measured of one class"),
        (
            {"metric": "accuracy", "of_class": "rose"},
            ".of_class: got 'rose'; accuracy is measured over all classes. Leave it out, or take auc or pr_auc or "
            "precision or recall or specificity or f1 or sensitivity_at_specificity or specificity_at_sensitivity",
        ),
        (
            {"metric": "size_mb", "slice": {"label": "rose"}},
            ".slice: got {'label': 'rose'}; size_mb is measured on the",
        ),
        ({"metric": "size_mb", "relative_to": "majority"}, ".relative_to: got 'majority'; size_mb is measured on the"),
    ],
)
def test_a_gate_that_cannot_be_measured_is_a_mistake(gate, problem):
    good = {"metric": "auc", "of_class": "*", "min": 0.5}
    (found,) = gates_can_be_measured({"evaluation": {"gates": [good, {"min": 0.5, **gate}]}})
    assert found.startswith(f"evaluation.gates[1]{problem}"), found


def test_all_mistakes_are_told_at_once_with_the_nearest_name():
    gates = [{"metric": "acuracy"}, {"metric": "size_mb", "confidence": 0.9, "of_class": "rose"}]
    found = gates_can_be_measured({"evaluation": {"gates": gates}})
    assert [problem.split(":")[0] for problem in found] == [
        "evaluation.gates[0].metric",
        "evaluation.gates[1].of_class",
        "evaluation.gates[1].confidence",
    ]
    assert found[0].endswith("Did you mean 'accuracy'?")


def test_each_task_has_metrics_of_its_own():
    gates = {"evaluation": {"gates": [{"metric": "accuracy"}, {"metric": "micro_f1"}]}}
    (found,) = gates_can_be_measured({**gates, "task": "multi_label"})
    assert "gates[0].metric: got 'accuracy', which is for task single_label; expected one of micro_f1," in found


@pytest.mark.parametrize(
    "raw", [{}, {"evaluation": None}, {"evaluation": {"gates": "all"}}, {"evaluation": {"gates": [7]}}]
)
def test_a_config_of_another_shape_is_left_to_other_checks(raw):
    assert gates_can_be_measured(raw) == []


@pytest.mark.parametrize(
    ("tuning", "problem"),
    [
        ({"metric": "acuracy"}, "tuning.metric: got 'acuracy'; expected one of accuracy, macro_f1,"),
        ({"metric": "size_mb"}, "tuning.metric: got 'size_mb', which is measured on the exported model"),
        ({"metric": "retention"}, "tuning.metric: got 'retention', which compares with the champion"),
        ({"metric": "recall"}, "tuning.of_class: missing"),
        ({"metric": "recall", "of_class": "*"}, "tuning.of_class: got '*'; expected the name of one class"),
        ({"metric": "accuracy", "at": 0.9}, "tuning.at: got 0.9"),
        ({"metric": "expected_cost"}, "tuning.metric: got 'expected_cost'; expected what mistakes cost"),
        (
            {"metric": "image_to_text_recall_at_1"},
            "tuning.metric: got 'image_to_text_recall_at_1'; expected `backbones` and `training.fusion: contrastive`",
        ),
    ],
)
def test_a_search_goes_by_what_the_validation_split_can_tell(tuning, problem):
    (found,) = tuning_can_be_measured({"tuning": tuning})
    assert found.startswith(problem), found


@pytest.mark.parametrize(
    "raw",
    [
        {},
        {"tuning": {"metric": "loss"}},
        {"tuning": {"metric": "recall", "of_class": "rose"}},
        {"tuning": {"metric": "micro_f1"}, "task": "multi_label"},
        {"tuning": {"metric": "expected_cost"}, "evaluation": {"costs": {"a": {"b": 2}}}},
        {"tuning": {"metric": "sensitivity_at_specificity", "of_class": "rose", "at": 0.95}},
    ],
)
def test_what_a_search_can_go_by_is_no_mistake(raw):
    assert not tuning_can_be_measured(raw)


@pytest.mark.parametrize("fusion", ["contrastive", {"name": "contrastive", "width": 64}])
def test_recall_is_measured_where_both_sides_have_vectors(fusion):
    gates = {"gates": [{"metric": "image_to_text_recall_at_1", "min": 0}]}
    assert gates_can_be_measured({"evaluation": gates, "training": {"fusion": fusion}}) == []
    (found,) = gates_can_be_measured({"evaluation": gates})
    assert found.startswith("evaluation.gates[0].metric: got 'image_to_text_recall_at_1'; expected `backbones`")
