"""What a person sees in the terminal when a run is done."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from finetune.artifacts.findings import GateResult
from finetune.artifacts.retrain_decision import RetrainDecision
from finetune.artifacts.run_summary import RunSummary
from finetune.artifacts.training_history import CandidateResult, PhaseRow
from finetune.artifacts.tuning import Tuning
from finetune_cli.modalities import MODALITIES
from finetune_cli.terminal import Part, clean, print_table, styled
from pipeline.report import formats
from pipeline.report.sentences import best_trials, gain, gate_reason, training_sentences, trial_values, tuning_sentences
from pipeline.report.verdict import next_steps, verdict

if TYPE_CHECKING:
    from rich.console import Console

# Narrower terminals get the tables without the columns that the lines above them or the report tell as well.
FULL_TABLE_COLUMNS = 76
# Reasons of candidates are sentences; narrower terminals leave them to the report.
REASONS_COLUMNS = 140
# Enough for a config error or the end of a traceback; the log has the rest.
ERROR_LINES = 12
# The report has them all.
TRIALS_SHOWN = 5
TONE_STYLES = {"good": "bold green", "warn": "bold yellow", "bad": "bold red"}


def print_summary(console: Console, summary: RunSummary) -> None:
    """Prints the closing view of a run: verdict, gates, metrics, phases, paths, and what to do next."""
    outcome = verdict(summary)
    console.print()
    took = f" ({formats.duration(summary.seconds)})" if summary.seconds is not None else ""
    reason = f" {clean(summary.name)}: {clean(outcome.reason)}{took}"
    console.print(styled(console, (outcome.word.upper(), TONE_STYLES[outcome.tone]), reason))
    errors = (summary.error or "").splitlines()[:ERROR_LINES] if outcome.tone == "bad" else []
    for line in (*errors, *outcome.sentences):
        _print_indented(console, clean(line))
    if summary.status != "checked":
        # Then they are the outcome.
        for finding in summary.data_warnings:
            _print_indented(console, clean(f"data: {finding.sentence}"))
    if summary.left_out:
        reasons = ", ".join(f"{amount:,} {reason}" for reason, amount in summary.left_out.items())
        _print_indented(console, clean(f"data: left out {reasons}; the report names each"))
    if summary.decision:
        print_decision(console, summary.decision)
    wide = console.width >= FULL_TABLE_COLUMNS
    if summary.gates:
        header = ("gate", "value", "bound", "result", "reason")[: 5 if wide else 4]
        print_table(console, header, [_gate_row(gate)[: len(header)] for gate in summary.gates], right={1, 2})
    metrics = _metric_columns(summary)
    if metrics:
        names = list(dict.fromkeys(name for values in metrics.values() for name in values))
        rows: list[list[Part]] = [
            [formats.label(name), *(formats.number(values.get(name)) for values in metrics.values())] for name in names
        ]
        print_table(console, ("metric", *metrics), rows, right=set(range(1, len(metrics) + 1)))
    if summary.search:
        with_reasons = console.width >= REASONS_COLUMNS
        header = ("candidate", "time", "val loss", "val accuracy", "gain", "reason")[: 6 if with_reasons else 5]
        candidates = [
            _candidate_row(result, summary.search.chosen)[: len(header)] for result in summary.search.candidates
        ]
        print_table(console, header, candidates, right={1, 2, 3, 4})
    if summary.tuning:
        print_table(console, ("trial", "score", "time", "values"), _trial_rows(summary.tuning), right={1, 2})
        for sentence in tuning_sentences(summary.tuning):
            _print_indented(console, clean(sentence))
    for sentence in training_sentences(summary):
        _print_indented(console, clean(sentence))
    if summary.phases:
        header = ("phase", "epochs", "time", "val loss", "val accuracy", "trained/total")[: 6 if wide else 5]
        phases = [_phase_row(phase)[: len(header)] for phase in summary.phases]
        print_table(console, header, phases, right={1, 2, 3, 4, 5})
        if any(phase.stopped_early for phase in summary.phases):
            console.print(styled(console, ("* stopped early", "dim")))
    console.print()
    places = (summary.pushed_model, summary.pending_model, summary.report, summary.log_file)
    for title, path in zip(("model", "waits", "report", "log"), places, strict=True):
        if path:
            # Not wrapped: a path that is cut in two can be neither clicked nor copied.
            console.print(styled(console, (f"{title:<7}", "bold"), clean(path)), soft_wrap=True)
    if summary.pushed_model:
        example = MODALITIES[summary.modality].example
        command = f"finetune predict {shlex.quote(clean(summary.pushed_model))} {example}"
        console.print(styled(console, ("try it ", "bold"), command), soft_wrap=True)
    steps = next_steps(summary)
    if steps:
        console.print()
        console.print(styled(console, ("What to do next", "bold")))
        for index, step in enumerate(steps, start=1):
            _print_indented(console, f"{index}. {step}")


def print_decision(console: Console, decision: RetrainDecision) -> None:
    """Prints what `finetune retrain` decided, and all that it looked at, what the decision follows from first."""
    console.print()
    console.print(styled(console, ("decision ", "bold"), decision.action))
    for reason in decision.reasons:
        name = ("> " if reason.decisive else "  ") + reason.name
        console.print(styled(console, (f"{name}: ", "bold" if reason.decisive else ""), clean(reason.sentence)))


def _print_indented(console: Console, text: str) -> None:
    from rich.padding import Padding

    console.print(Padding(styled(console, text), (0, 0, 0, 2)))


def _gate_row(gate: GateResult) -> list[Part]:
    value, bound = formats.value_and_bound(gate.value, gate.bound)
    result = ("passed", "green") if gate.passed else ("FAILED", "bold red")
    return [gate.name, value, bound, result, gate_reason(gate)]


def _metric_columns(summary: RunSummary) -> dict[str, dict[str, float]]:
    """Metrics by column title: the candidate, then whatever it can be compared with."""
    if not summary.metrics:
        return {}
    columns = {"candidate": summary.metrics, "champion": summary.champion_metrics or {}}
    columns |= {formats.label(name): values for name, values in summary.baselines.items()}
    return {title: values for title, values in columns.items() if values}


def _candidate_row(result: CandidateResult, chosen: str) -> list[Part]:
    name = formats.label(result.name)
    return [
        (name, "bold green") if result.name == chosen else name,
        formats.duration(result.seconds),
        formats.number(result.val_loss),
        formats.number(result.val_accuracy),
        gain(result),
        result.reason,
    ]


def _trial_rows(tuning: Tuning) -> list[list[Part]]:
    """The best trials, and that of the config as it is."""
    shown = best_trials(tuning)[:TRIALS_SHOWN]
    shown += [] if tuning.as_it_is in shown else [tuning.as_it_is]
    return [
        [
            (str(trial.number), "bold green") if trial.number == tuning.best else str(trial.number),
            formats.number(trial.score, 4),
            formats.duration(trial.seconds),
            trial_values(trial),
        ]
        for trial in shown
    ]


def _phase_row(phase: PhaseRow) -> list[Part]:
    return [
        phase.name,
        f"{phase.epochs:,}{'*' if phase.stopped_early else ''}",
        formats.duration(phase.seconds),
        formats.number(phase.val_loss),
        formats.number(phase.val_accuracy),
        f"{formats.short_count(phase.trainable_parameters)}/{formats.short_count(phase.total_parameters)}",
    ]
