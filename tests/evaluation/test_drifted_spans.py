"""Spans that differ from what the champion was made with are named, and left out where a gate asks for the others."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from components.bulk_inferrer.answers import Answers
from components.bulk_inferrer.test_set import make_test_set
from components.champion.drifted import latest_of_each, that_count, to_text
from components.evaluator.eval_config import tfma_decides
from evaluation.data_checks.two_sample import TwoSample
from evaluation.evidence import CANDIDATE, CHAMPION, TestSet, evidence_for
from evaluation.predictions import SINGLE_LABEL
from evaluation.retraining.decision import Compared, Examined, Facts, OnNew, decide
from evaluation.retraining.label_shift import label_shift
from evaluation.verdict import Tfma, drifted_spans, judge_all
from finetune.artifacts.findings import DriftedSpan
from finetune.artifacts.retrain_decision import LookedAtSpan, RetrainDecision
from finetune.artifacts.run_summary import RunSummary
from finetune.config.evaluation import GateConfig
from finetune.config.retrain import RetrainConfig
from finetune.errors import RunError
from pipeline.report.sentences import drifted_sentences

FACTS = Facts(examples=130, new=30, changed=0, undecided=30, champion=1, made_with=100, age_days=1.0)
BEFORE = [("a",)] * 50 + [("b",)] * 50
LIKE_BEFORE = label_shift(BEFORE, [("a",)] * 15 + [("b",)] * 15, 0.01)
MOVED = label_shift(BEFORE, [("b",)] * 30, 0.01)
OTHER = Compared(features=TwoSample(auc=0.9, bound=0.7, p_value=0.001, level=0.01, telling=np.arange(30)))
WORSE = OnNew((10, 30), (95, 100))
# Spans 1 to 4 of 30 test examples each: the candidate has all of 3 and 4, and two in three of the others.
SPANS = np.repeat(["1", "2", "3", "4"], 30)
OURS = (SPANS >= "3") | (np.arange(120) % 3 > 0)
THEIRS = SPANS < "3"
GATE = GateConfig(
    metric="accuracy",
    min=-0.05,
    relative_to="champion",
    confidence=0.9,
    refuse_when="unproven",
    slice={"span": "ordinary"},
    on_missing="tell",
)
FAULTY = {"3": ["frozen features"], "4": ["frozen features", "labels"]}


def answers(right: np.ndarray) -> Answers:
    return Answers(np.where(right, 0.9, 0.2)[:, None] * [1, -1] + [0, 1], ["cat", "dog"])


@pytest.fixture
def test_set() -> TestSet:
    """A candidate that is better overall, and worse on the first two spans."""
    models = {CANDIDATE: answers(OURS), CHAMPION: answers(THEIRS)}
    return make_test_set(SINGLE_LABEL, [["cat"]] * 120, {"span": SPANS.tolist()}, models)


def judged(test_set: TestSet, *gates: GateConfig):
    return judge_all(gates, test_set, Tfma(None, False), [])


def test_a_decision_names_spans_by_what_each_of_them_shows_by_itself():
    spans = {"7": Compared(labels=LIKE_BEFORE), "8": Compared(labels=MOVED, on_new=WORSE), "9": OTHER}
    decision = decide(replace(FACTS, examined=Examined(labels=LIKE_BEFORE, spans=spans)), RetrainConfig())
    found = {span.name: span.differs_in for span in decision.spans}
    assert found == {"7": [], "8": ["labels", "champion on new examples"], "9": ["frozen features"]}
    assert [span.name for span in decision.spans if span.drifted] == ["9"]
    (reason,) = [one for one in decision.reasons if one.name == "spans"]
    assert (reason.value, reason.decisive) == (1, False)
    assert "8 (labels, champion on new examples); 9 (frozen features)" in reason.sentence
    assert reason.sentence.endswith("No part of `span: ordinary`, as inputs differ: 9.")
    assert decision.action == "warm", "30 of 100 are enough; a span alone is no reason"
    quiet = decide(replace(FACTS, examined=Examined(spans={"7": Compared(labels=LIKE_BEFORE)})), RetrainConfig())
    assert "Of the spans that came, 7, each by itself, none differs." in [one.sentence for one in quiet.reasons]


def test_many_spans_share_the_level():
    """A drop that is beyond chance for one span is not for the worst of fifty."""
    slight = Compared(on_new=OnNew((22, 30), (95, 100)))
    one, many = (
        decide(replace(FACTS, examined=Examined(spans=spans)), RetrainConfig()).spans
        for spans in ({"1": slight}, {str(number): slight for number in range(50)})
    )
    assert [span.differs_in for span in one] == [["champion on new examples"]]
    assert not any(span.differs_in for span in many)


def test_without_spans_or_a_look_none_is_named():
    assert decide(FACTS, RetrainConfig()).spans == []
    alone = decide(replace(FACTS, examined=Examined(labels=MOVED)), RetrainConfig())
    assert (alone.spans, [one.name for one in alone.reasons if one.name == "spans"]) == ([], [])


def test_a_decision_of_a_version_before_is_read(tmp_path):
    (tmp_path / "decision.json").write_text('{"action": "warm", "reasons": []}')
    assert RetrainDecision.read(tmp_path).spans == []


def said(**spans: list[str]) -> str:
    return to_text(LookedAtSpan(name=name[1:], differs_in=reasons) for name, reasons in spans.items())


def test_the_latest_decision_on_a_span_counts():
    drifted = ["frozen features", "labels"]
    decisions = {3: said(_6=drifted, _7=drifted), 9: said(_6=[]), 5: "", 4: said(_8=["labels"])}
    assert latest_of_each(decisions.items()) == {"7": drifted}
    assert latest_of_each([]) == {}
    # Without those that change nothing the answer is the same.
    counting = that_count(decisions)
    assert counting == [3, 9]
    assert latest_of_each((number, decisions[number]) for number in counting) == {"7": drifted}


@pytest.mark.parametrize("forged", ["{", "[]", '{"7": 3}', '"7"'])
def test_what_is_no_list_of_spans_is_an_error_that_says_so(forged):
    with pytest.raises(RunError, match=r"RetrainDecision in the metadata store.*expected reasons by span"):
        latest_of_each([(1, forged)])
    with pytest.raises(RunError, match="changed by hand"):
        that_count({1: forged})


def test_gains_on_spans_that_drifted_hide_no_loss_on_ordinary_ones(test_set):
    overall = GATE.model_copy(update={"slice": {}})
    told = replace(test_set, drifted=FAULTY)
    everywhere, ordinary = judged(told, overall, GATE)
    assert (everywhere.passed, everywhere.examples) == (True, 120)
    assert (ordinary.passed, ordinary.examples) == (False, 60)
    assert ordinary.value == pytest.approx(-1 / 3)
    assert ordinary.name == "accuracy - champion >= -0.05 on span=ordinary at 90 %"
    assert drifted_spans([overall, GATE], told) == [
        DriftedSpan(name=name, differs_in=reasons, examples=30) for name, reasons in FAULTY.items()
    ]
    assert drifted_spans([overall], told) is None, "nobody asks"


def test_where_nothing_is_named_all_spans_are_ordinary(test_set):
    (found,) = judged(test_set, GATE)
    assert found.examples == 120
    assert found.passed
    assert drifted_spans([GATE], test_set) == []
    without = make_test_set(SINGLE_LABEL, [["cat"]] * 120, {}, {CANDIDATE: answers(OURS), CHAMPION: answers(THEIRS)})
    assert evidence_for(GATE, replace(without, drifted=FAULTY)).examples == 120, "data that come in no spans"


def test_where_all_are_named_nothing_is_judged_or_refused_as_the_gate_says(test_set):
    told = replace(test_set, drifted={name: ["labels"] for name in "1234"})
    (tells,) = judged(told, GATE)
    assert (tells.passed, tells.judged) == (True, False)
    assert tells.reason == "not judged: every span of the test split has drifted from what the champion was made with"
    (refuses,) = judged(told, GATE.model_copy(update={"on_missing": "refuse"}))
    assert not refuses.passed
    assert "every span of the test split has drifted" in refuses.reason


def test_names_that_the_test_split_does_not_have_change_nothing(test_set):
    told = replace(test_set, drifted={"99": ["labels"], "../3": ["labels"], "*": ["labels"]})
    assert evidence_for(GATE, told).examples == 120
    assert drifted_spans([GATE], told) == []


def test_a_slice_may_cross_it_with_a_class(test_set):
    told = replace(test_set, drifted=FAULTY)
    (of_class,) = judged(told, GATE.model_copy(update={"slice": {"span": "ordinary", "label": "*"}}))[:1]
    assert of_class.slice == {"span": "ordinary", "label": "cat"}
    assert of_class.examples == 60


def test_tfma_which_knows_no_decisions_is_not_asked():
    plain = GATE.model_copy(update={"on_missing": "refuse", "slice": {}})
    assert tfma_decides(plain)
    assert not tfma_decides(plain.model_copy(update={"slice": {"span": "ordinary"}}))


def test_the_report_says_which_spans_are_left_out_and_why(test_set):
    summary = RunSummary(run_id="1", status="refused")
    assert drifted_sentences(summary) == []
    told = drifted_spans([GATE], replace(test_set, drifted=FAULTY))
    (sentence,) = drifted_sentences(summary.model_copy(update={"drifted": told}))
    assert "3 (30 test examples: frozen features)" in sentence
    assert "4 (30 test examples: frozen features and labels)" in sentence
    (none,) = drifted_sentences(summary.model_copy(update={"drifted": []}))
    assert none.startswith("No span is left out")
