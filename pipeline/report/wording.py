"""The words and number formats that the console and the HTML report share, so that one run reads the same in both."""

from __future__ import annotations

import math
import re
import shlex
from dataclasses import dataclass
from pathlib import Path

from evaluation.metrics import METRICS
from finetune.artifacts.findings import GateResult, Reuse
from finetune.artifacts.retrain_decision import RetrainDecision
from finetune.artifacts.run_summary import RunSummary
from finetune.artifacts.training_history import CandidateResult
from finetune.artifacts.tuning import Trial, Tuning

MISSING = "n/a"
# Pieces of advice beside the verdict.
ADVICE_SHOWN = 4
MATRIX_LETTERS = 24


@dataclass(frozen=True)
class Verdict:
    """What became of a run: `tone` is `good`, `warn` or `bad`; `sentences` say why, most important first."""

    word: str
    tone: str
    reason: str
    sentences: tuple[str, ...]


def as_number(value: object) -> float | None:
    """`value` as a float (it may be NaN or infinite), or None when it is not a number at all."""
    try:
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return None


def finite(value: object) -> float | None:
    """`value` as a finite float, or None."""
    found = as_number(value)
    return found if found is not None and math.isfinite(found) else None


def number(value: object, digits: int = 3) -> str:
    """A metric or loss: `0.913`, `4.2e-05`, `12,345`, `nan`; `n/a` when there is none."""
    found = as_number(value)
    if found is None:
        return MISSING
    if abs(found) < 1e-12:
        # What is left over where numbers cancel out.
        found = 0.0
    if 0 < abs(found) < 0.5 * 10**-digits:
        return f"{found:.2g}"
    if 10_000 <= abs(found) < math.inf:
        return f"{found:,.0f}"
    return f"{found:.{digits}f}"


def value_and_bound(value: object, bound: object) -> tuple[str, str]:
    """Both numbers with enough digits to tell them apart, so that 0.8497 never reads as `0.850` beside `0.850`."""
    for digits in (3, 4, 5, 6):
        texts = number(value, digits), number(bound, digits)
        if texts[0] != texts[1] or as_number(value) == as_number(bound):
            break
    return texts


def count(value: object) -> str:
    """A whole number with thousands separators, or `n/a`."""
    found = finite(value)
    return MISSING if found is None else f"{found:,.0f}"


def short_count(value: object) -> str:
    """A parameter count in about four characters: `6.4 k`, `2.26 M`, `1.10 B`."""
    found = finite(value)
    if found is None:
        return MISSING
    for size, unit in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if abs(found) >= size:
            return f"{found / size:.3g} {unit}"
    return f"{found:.0f}"


def percent(share: object) -> str:
    """A share of one as a percentage: `4.2%`, `57%`."""
    found = finite(share)
    if found is None:
        return MISSING
    return f"{found * 100:.1f}%" if 0 < found < 0.1 else f"{found * 100:.0f}%"


def duration(seconds: object) -> str:
    """`2.1 s`, `42 s`, `3 min 12 s`, `1 h 04 min`."""
    found = finite(seconds)
    if found is None:
        return MISSING
    if found < 9.95:
        return f"{max(found, 0):.1f} s"
    whole = round(found)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def label(name: object) -> str:
    """The name of a metric or a baseline as people write it: `macro F1`, `from scratch`."""
    metric = METRICS.get(str(name))
    return metric.label if metric else str(name).replace("_", " ")


def typeset(name: object) -> str:
    """A gate's name as it is printed, with the signs of mathematics for `>=`, `<=` and `-`."""
    text = str(name).replace(">=", "≥").replace("<=", "≤").replace(" - ", " − ")
    return re.sub(r"(?<=[≥≤] )-(?=\d)", "−", text)


def plural(amount: int, noun: str) -> str:
    """`1 gate`, `3 gates`, `2 classes`."""
    ending = "" if amount == 1 else "es" if noun.endswith("s") else "s"
    return f"{amount:,} {noun}{ending}"


def lower_is_better(metric: str) -> bool:
    """Whether a smaller value of `metric` is the better one; of a metric that is no longer known, it is not."""
    return metric in METRICS and not METRICS[metric].higher_is_better


def shortened(name: str) -> str:
    """The name of a class beside the matrix: a longer one would push the numbers off the page."""
    return name if len(name) <= MATRIX_LETTERS else f"{name[: MATRIX_LETTERS - 1]}…"


def listing(names: list[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else "".join(names)


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


def rounded(amount: int) -> str:
    """A number that is only roughly known, with two digits: `2,300`."""
    digits = max(len(str(amount)) - 2, 0)
    return f"{round(amount, -digits):,}"


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


def verdict(summary: RunSummary) -> Verdict:
    """The outcome of a run in words: pushed, refused or failed, and why."""
    gates, failed = summary.gates, summary.failed_gates
    if summary.decision and not summary.decision.trains:
        return _decided(summary.decision)
    if summary.status == "pushed":
        if not gates:
            why, note = "no gate was configured", ["Nothing checked this model before it was pushed."]
        elif failed:
            why = f"although {plural(len(failed), 'gate')} failed"
            note = [_gate_sentence(gate) for gate in failed]
            if summary.report_only:
                note.insert(0, "evaluation.mode is report_only, so no gate could stop it.")
        else:
            why, note = _all_passed(gates), _no_better_than_linear(summary)
        if summary.served_instead and summary.pushed_model:
            other, own = Path(summary.served_instead).name, Path(summary.pushed_model).name
            note.append(
                f"It was pushed by an earlier run, as version {own}; version {other} is served in its place since. "
                f"`finetune rollback` with --to {own} serves this one again."
            )
        return Verdict("Pushed", "good" if gates and not failed else "warn", why, (*note, *_measured(summary)))
    if summary.status == "pending":
        why = "it passed its gates and waits for approval"
        return Verdict("Pending", "warn", why, ("Nothing was pushed yet.", *_measured(summary)))
    if summary.status == "checked":
        if found := summary.data_warnings:
            why = f"{plural(len(found), 'check')} of the data found something"
            return Verdict("Checked", "warn", why, tuple(finding.sentence for finding in found))
        return Verdict("Checked", "good", "no check of the data found anything", ())
    if summary.status == "tuned" and summary.tuning:
        return Verdict(
            "Tuned",
            "good",
            f"{_named(summary.tuning.best_trial)} is the best of {plural(len(summary.tuning.done), 'trial')}",
            (),
        )
    if summary.status == "refused" and summary.error:
        return Verdict("Refused", "warn", "because of its data", (*summary.error.splitlines(), "Nothing was trained."))
    if summary.status == "refused":
        why = f"{len(failed)} of {plural(len(gates), 'gate')} failed" if failed else "the model was not blessed"
        sentences = [_gate_sentence(gate) for gate in failed]
        if not failed:
            sentences = ["No gate failed; the log says what refused the model."]
        return Verdict("Refused", "warn", why, (*sentences, "Nothing was pushed.", *_measured(summary)))
    where = [part.id for part in summary.components if part.state == "failed"]
    why = f"in {listing(where)}" if where else "before the run was complete"
    return Verdict("Failed", "bad", why, ("Nothing was pushed.",))


def _decided(decision: RetrainDecision) -> Verdict:
    """The outcome of a decision not to train."""
    word, tone, why = {
        "nothing to do": ("Nothing to do", "good", "what is new is no reason to train"),
        "waiting": ("Pending", "warn", "a candidate of an earlier run waits for approval"),
        "stop: data": ("Refused", "warn", "because of its data"),
    }[decision.action]
    sentences = [line for reason in decision.decisive for line in reason.sentence.splitlines()]
    return Verdict(word, tone, why, (*sentences, "Nothing was trained."))


def _no_better_than_linear(summary: RunSummary) -> list[str]:
    """Whether a first model goes out that is not shown to be better than a linear one, and why it may."""
    return [
        "It is not shown to be better than logistic regression on the frozen features "
        f"({gate.metric.replace('_', ' ')} {number(gate.value)} beside it, {number(gate.interval.low)} to "
        f"{number(gate.interval.high)}). It may go out because it is not shown to be worse, and nothing is served yet."
        for gate in ([] if summary.champion_metrics else summary.gates)
        if gate.reference_name == "logistic regression" and gate.passed and gate.judged and gate.interval
        if gate.bound == 0 and gate.interval.low <= 0 <= gate.interval.high
    ]


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
        f"Of {plural(len(tuning.done), 'trial')}, {_named(best)} has the best {metric} on "
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


def _named(trial: Trial) -> str:
    return f"trial {trial.number}" if trial.number else "the config as it is"


def best_trials(tuning: Tuning) -> list[Trial]:
    """The trials with a score, best first; those that were trained for less than the whole time come last."""
    sign = -1 if tuning.higher_is_better else 1
    return sorted(tuning.done, key=lambda trial: (-trial.share, sign * (trial.score or 0.0), trial.number))


def trial_values(trial: Trial) -> str:
    """The values of a trial, such as `dropout 0.2, learning_rate 0.003`."""
    if not trial.number:
        return "the config as it is"
    return ", ".join(f"{key_name(key)} {shown(value)}" for key, value in trial.values.items())


def key_name(key: str) -> str:
    """A key of training without its section: `phases[0].learning_rate`."""
    return key.removeprefix("training.")


def shown(value: object) -> str:
    """A value of a key, with numbers to three digits."""
    is_number = isinstance(value, float) and not isinstance(value, bool)
    return f"{value:.3g}" if is_number else str(value)


def _all_passed(gates: list[GateResult]) -> str:
    idle = sum(not gate.judged for gate in gates)
    if idle == len(gates):
        return "no gate had anything to judge yet"
    if idle:
        return f"{plural(len(gates) - idle, 'gate')} passed, {idle} had nothing to judge"
    return "the only gate passed" if len(gates) == 1 else f"all {len(gates)} gates passed"


def next_steps(summary: RunSummary) -> list[str]:
    """What to do after a run that was not pushed, as short instructions; empty for a pushed run."""
    if summary.status == "tuned":
        return ["`finetune run` with the same config trains with the best values; the search comes from the cache."]
    if summary.status in ("pushed", "checked", "nothing_to_do"):
        return []
    if summary.status == "refused" and (summary.error or (summary.decision and not summary.decision.trains)):
        return ["Look at the suspects in the report, mend the data or the config, and run the same command again."]
    if summary.status == "pending":
        run = shlex.quote(str(Path(summary.report or "RUN/report.html").parent))
        return ["Look at the report.", f"To push the model: finetune approve {run}"]
    if summary.status != "refused":
        return [
            "Read the end of the log: the first error there is usually the cause.",
            "Mend it and run the same command again.",
        ]
    steps = ["See the weakest classes and the most confident mistakes in the report: they show where the model errs."]
    by_advice: dict[str, list[str]] = {}
    for gate in summary.failed_gates:
        if gate.advice:
            by_advice.setdefault(gate.advice, []).append(gate.name)
    # The same advice once, whatever the number of gates; the report has it for each.
    steps += [f"For {_some(names)}: {advice}." for advice, names in list(by_advice.items())[:ADVICE_SHOWN]]
    if not by_advice:
        steps.append("Add or relabel data for those classes, train longer, or unfreeze more of the backbone.")
    if summary.failed_gates:
        steps.append("If a bound is wrong for this task, change it under evaluation.gates in the config.")
    return steps


def _some(names: list[str]) -> str:
    return listing(names) if len(names) <= 2 else f"{names[0]} and {plural(len(names) - 1, 'more gate')}"


def _gate_sentence(gate: GateResult) -> str:
    return f"{gate.name}: {gate_reason(gate).rstrip('.')}."


def _measured(summary: RunSummary) -> list[str]:
    return [*_quality(summary), *reuse_sentences(summary.reuse), *drifted_sentences(summary)]


def _quality(summary: RunSummary) -> list[str]:
    """One sentence on how good the candidate is and what it is compared with; none without metrics."""
    metrics = summary.metrics
    # The first two: accuracy and macro F1, or micro and macro F1.
    shown = [name for name in METRICS if finite(metrics.get(name)) is not None][:2]
    if not shown:
        return []
    examples = summary.splits.get("test")
    reached = listing([f"{label(name)} {number(metrics[name])}" for name in shown])
    rivals = {"the champion": summary.champion_metrics or {}}
    rivals |= {f"the baseline '{label(name)}'": values for name, values in summary.baselines.items()}
    values = {rival: finite(metrics_of.get(shown[0])) for rival, metrics_of in rivals.items()}
    compared = [f"{number(value)} for {rival}" for rival, value in values.items() if value is not None]
    against = f"; {label(shown[0])} is {listing(compared)}" if compared else ""
    where = f"On {plural(examples, 'test example')} it" if examples else "It"
    return [f"{where} reaches {reached}{against}."]
