"""What the console and the HTML report both say of gates, training and tuning, so that a run reads the same in both."""

from __future__ import annotations

from finetune.artifacts.findings import GateResult, Reuse
from finetune.artifacts.run_summary import RunSummary
from finetune.artifacts.training_history import CandidateResult
from finetune.artifacts.tuning import Trial, Tuning
from pipeline.report.formats import (
    MISSING,
    duration,
    label,
    listing,
    number,
    percent,
    plural,
    rounded,
    shown,
    value_and_bound,
)


def gate_reason(gate: GateResult) -> str:
    """Why a gate passed or failed, in words; made from value and bound when the gate gives no reason itself."""
    if gate.reason:
        return gate.reason
    value, bound = value_and_bound(gate.value, gate.bound)
    return "the metric could not be measured" if value == MISSING else f"measured {value}, the bound is {bound}"


def power_sentence(gate: GateResult) -> str:
    """What this test split could have shown of a gate, and what would decide it; empty where it has no say."""
    power = gate.power
    if power is None or gate.interval is None:
        return ""
    sure = f"at {100 * gate.interval.confidence:.4g} %"
    if power.smallest is None:
        return f"No difference can be shown {sure} on so few examples."
    shown = f"Such a split shows a distance of {number(power.smallest)} from the bound {sure}, in 80 % of cases"
    if power.more_labels == 0:
        return f"{shown}."
    measured = f"the one measured, {number(abs((gate.value or 0.0) - gate.bound))}, is undecided"
    if power.more_labels is None:
        return f"{shown}; {measured}, and no number of labels would decide it."
    return f"{shown}; {measured}, and about {rounded(power.more_labels)} more labelled examples would decide it."


def reuse_sentences(reuse: Reuse | None) -> list[str]:
    """How often the test examples have judged a candidate, what that costs, and what to do about it."""
    if reuse is None:
        return []
    return [*_looks(reuse), *_learned(reuse)]


def _learned(reuse: Reuse) -> list[str]:
    if not reuse.learned:
        return []
    of_how_many = f"{reuse.learned:,} of {plural(reuse.examples, 'test example')}"
    return [f"The champion learned from {of_how_many}, which no comparison of the two counts."]


def drifted_sentences(summary: RunSummary) -> list[str]:
    """Which spans a gate on `span: ordinary` has left out, and why; none where no gate asks for these."""
    if summary.drifted is None:
        return []
    if not summary.drifted:
        return ["No span is left out of `span: ordinary`: `finetune retrain` has found none of them to drift."]
    of_which = ", ".join(
        f"{span.name} ({plural(span.examples, 'test example')}: {listing(span.differs_in)})" for span in summary.drifted
    )
    return [
        "Left out of `span: ordinary`, as `finetune retrain` found them to drift from what the champion was made "
        f"with: {of_which}."
    ]


def _looks(reuse: Reuse) -> list[str]:
    of_these = f"beside a champion on these {plural(reuse.examples, 'test example')}"
    counted = f"It is the first candidate judged {of_these}"
    if reuse.look > 1:
        counted = f"It is candidate number {reuse.look} that is judged {of_these}"
    if reuse.level is None:
        return [
            f"{counted}. No gate bounds the risk that a worse one goes out by chance: `confidence` with "
            "`refuse_when: unproven` in a gate relative to the champion does, with evaluation.promotion_risk."
        ]
    sentence = (
        f"{counted}. Of the total risk of {percent(reuse.risk)} that one of them goes out falsely, this look may take "
        f"{100 * reuse.level:.2g}%."
    )
    if reuse.used_up:
        return [
            f"{sentence} These examples are used up: to show what they showed at first would take "
            f"{rounded(reuse.more_labels)} more beside them. Label {reuse.examples:,} new ones, and make them the test "
            "split."
        ]
    if reuse.more_labels:
        sentence += f" With {rounded(reuse.more_labels)} more, the test split would show as much as at first."
    return [sentence]


def gain(result: CandidateResult) -> str:
    """How much lower the loss of a candidate is than that of the simpler one: `0.031 ± 0.012`; "" without one."""
    if result.gain is None:
        return ""
    return f"{number(result.gain)} ± {number(result.standard_error)}"


def training_sentences(summary: RunSummary) -> list[str]:
    """What training began with, what was chosen of several, fitted once more and calibrated, and what it forgot."""
    found = [summary.start.sentence] if summary.start else []
    if ranking := summary.ranking:
        found.append(
            f"{ranking.chosen} was chosen of {plural(len(ranking.candidates), 'backbone')}: {ranking.reason}. Loss and "
            "accuracy are of logistic regression on what the frozen network gives, on examples of train that were held "
            "out."
        )
    if search := summary.search:
        further = f" and of {plural(search.parts, 'part')} of train, held out in turn" if search.parts else ""
        found.append(
            f"{label(search.chosen)} was chosen: {search.reason}. Loss and accuracy are of "
            f"{plural(search.val_examples, 'validation example')}; gains, example by example and with their standard "
            f"error, are of these{further}. "
            f"Search and last fit took {duration(search.seconds)} of {duration(60 * search.budget_minutes)}."
        )
    if refit := summary.refit:
        steps = f"for {plural(refit.steps, 'step')} " if refit.steps else ""
        mean = f"the mean of its weights and of those of the {refit.averaged} trainings that judged it"
        tested = mean if refit.averaged else "that model"
        found.append(
            f"What was chosen was trained once more {steps}on {plural(refit.examples, 'example')} of train and "
            f"validation together; {tested} is the one that was tested."
        )
    if averaging := summary.averaging:
        what = "the logits of a picture and of its mirror image"
        why = f"{'The config asks for it' if averaging.asked_for else 'It was measured on what was held out'}: "
        found.append(
            f"The exported model averages {what}, so that every prediction takes it twice as long. {why}"
            f"{averaging.reason}."
            if averaging.applied
            else f"The exported model does not average {what}. {why}{averaging.reason}."
        )
    if calibration := summary.calibration:
        found.append(
            f"Logits are divided by the temperature {number(calibration.temperature)}, fitted on "
            f"{calibration.measured_on}: there the loss went from {number(calibration.loss_before)} to "
            f"{number(calibration.loss_after)}, the calibration error from {number(calibration.ece_before)} to "
            f"{number(calibration.ece_after)}."
        )
    if summary.source_task:
        found.append(summary.source_task.sentence)
    return found


def tuning_sentences(tuning: Tuning) -> list[str]:
    """What a search found, what that is worth, and which keys mattered."""
    best, as_it_is = tuning.best_trial, tuning.as_it_is
    metric = f"{label(tuning.metric)} of {tuning.of_class}" if tuning.of_class else label(tuning.metric)
    beside = f"; the config as it is has {number(as_it_is.score, 4)}" if best.number else ""
    found = [
        f"Of {plural(len(tuning.done), 'trial')}, {trial_name(best)} has the best {metric} on "
        f"{plural(tuning.val_examples, 'validation example')}, {number(best.score, 4)}{beside}. The search took "
        f"{duration(tuning.seconds)} and ended because {tuning.ended_because}."
    ]
    if stopped := tuning.stopped:
        found.append(
            f"{plural(len(stopped), 'trial')} ended early, behind the median of the others; their scores are those of "
            "the epochs that they got."
        )
    if tuning.nested is not None:
        found.append(
            f"It was chosen by these examples, so the score flatters it: on examples that did not choose it, about "
            f"{number(tuning.nested, 4)} is to be expected, which puts {number(tuning.chance, 4)} of it down to chance."
        )
    return found


def trial_name(trial: Trial) -> str:
    """Which trial it is: `trial 3`, or the one without other values."""
    return f"trial {trial.number}" if trial.number else "the config as it is"


def best_trials(tuning: Tuning) -> list[Trial]:
    """The trials with a score, best first; those that were trained for less than the whole time come last."""
    sign = -1 if tuning.higher_is_better else 1
    return sorted(tuning.done, key=lambda trial: (-trial.share, sign * (trial.score or 0.0), trial.number))


def trial_values(trial: Trial) -> str:
    """The values of a trial, such as `dropout 0.2, learning_rate 0.003`."""
    if not trial.number:
        return trial_name(trial)
    return ", ".join(f"{key_name(key)} {shown(value)}" for key, value in trial.values.items())


def key_name(key: str) -> str:
    """A key of training without its section: `phases[0].learning_rate`."""
    return key.removeprefix("training.")
