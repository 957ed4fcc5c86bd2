"""The verdict on a run, why, and what to do next, for the console and the HTML report."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

from evaluation.metrics import METRICS
from finetune.artifacts.findings import GateResult
from finetune.artifacts.retrain_decision import RetrainDecision
from finetune.artifacts.run_summary import RunSummary
from pipeline.report.formats import finite, label, listing, number, plural
from pipeline.report.sentences import drifted_sentences, gate_reason, reuse_sentences, trial_name

# Pieces of advice beside the verdict.
ADVICE_SHOWN = 4


@dataclass(frozen=True)
class Verdict:
    """What became of a run: `tone` is `good`, `warn` or `bad`; `sentences` say why, most important first."""

    word: str
    tone: str
    reason: str
    sentences: tuple[str, ...]


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
            f"{trial_name(summary.tuning.best_trial)} is the best of {plural(len(summary.tuning.done), 'trial')}",
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
