"""What the report shows of the evaluation: gates, metrics, classes, slices, calibration and serving."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from evaluation.metrics import METRICS
from evaluation.metrics.serving import BATCH_SIZES, QUANTILES, TIMED, latency, throughput
from finetune.artifacts.evaluation_results import ClassScore
from finetune.artifacts.findings import (
    ClassFindings,
    Findings,
    GateResult,
    Interval,
    Measured,
    ReliabilityBin,
    ServingMetrics,
    SliceFindings,
)
from finetune.artifacts.run_summary import RunSummary
from pipeline.report import evaluation_figures, formats
from pipeline.report.sentences import gate_reason, power_sentence

View = dict[str, Any]

# Up to this many gates are listed one and all; of more, those that passed are folded away.
GATES_SHOWN = 12
SLICES_SHOWN = 60
# Scores of a class that the report always has.
SCORES = ("precision", "recall", "f1")
# A difference between confidence and accuracy that is worth a word.
CALIBRATION_GAP = 0.02


def gauge(
    value: object,
    bound: object = None,
    interval: Interval | None = None,
    reference: object = None,
    scale: tuple[float, float] | None = None,
) -> View | None:
    """Where to draw a value (a dot), its interval (a band), a bound (a tick) and a reference (a ring) on a line.

    Args:
        scale: Values at both ends; default: around what there is to draw and 0.

    Returns:
        Positions from 0 to 1, None where there is nothing to draw; None without a value.
    """
    places = {
        "value": formats.finite(value),
        "bound": formats.finite(bound),
        "low": formats.finite(interval.low) if interval else None,
        "high": formats.finite(interval.high) if interval else None,
        "reference": formats.finite(reference),
    }
    known = [place for place in places.values() if place is not None]
    if places["value"] is None:
        return None
    if scale:
        low, high = scale
    else:
        low, high = min(0.0, *known), max(0.0, *known)
        pad = (high - low) * 0.08 or 1.0
        low, high = low - pad if low < 0 else low, high + pad
    drawn = {name: None if place is None else (place - low) / (high - low) for name, place in places.items()}
    return {**drawn, "zero": -low / (high - low) if low < 0 else None}


def share_scale(values: Iterable[object]) -> tuple[float, float] | None:
    """Round ends of a line for shares, near enough to tell them apart; None when one of them is no share."""
    known = [found for value in values if (found := formats.finite(value)) is not None]
    if not known or min(known) < 0 or max(known) > 1:
        return None
    return max(0.0, math.floor((min(known) - 0.05) * 10) / 10), min(1.0, math.ceil((max(known) + 0.05) * 10) / 10)


def gates(rows: Iterable[GateResult]) -> View | None:
    """The gates that failed first; of very many, those that passed apart."""
    shown = sorted((_gate(row) for row in rows), key=lambda row: {"failed": 0, "passed": 1}.get(row["state"], 2))
    if not shown:
        return None
    failed = [row for row in shown if row["state"] == "failed"]
    others = shown[len(failed) :]
    folded = others if len(shown) > GATES_SHOWN else []
    return {"shown": failed if folded else shown, "folded": folded, "failed": len(failed)}


def _gate(row: GateResult) -> View:
    value, bound = formats.value_and_bound(row.value, row.bound)
    interval = row.interval if row.judged else None
    scale = None if row.reference_name else share_scale((row.value, row.bound, *_ends(interval)))
    return {
        "name": formats.typeset(row.name),
        "value": value,
        "bound": bound,
        "state": "failed" if not row.passed else "passed" if row.judged else "idle",
        "reason": gate_reason(row),
        "power": power_sentence(row),
        "advice": row.advice,
        "examples": row.examples if row.judged else None,
        "interval": _interval(interval),
        "gauge": gauge(row.value, row.bound, interval, scale=scale),
    }


def alone(measured: Findings) -> View | None:
    """What each side of pictures with words does without the other, beside both; None of other data."""
    if not measured.alone:
        return None
    rows = {"both": measured.metrics.get(measured.leading), **measured.alone}
    return {
        "metric": formats.label(measured.leading),
        "rows": [
            {"name": formats.label(name), "value": found.value, "interval": _interval(found.interval)}
            for name, found in rows.items()
            if found
        ],
    }


def cards(summary: RunSummary, measured: Findings) -> list[View]:
    """One card per metric: the candidate's value and interval, and the same metric of all it can be compared with."""
    metrics = summary.metrics
    rivals = {"champion": summary.champion_metrics or {}}
    # The strongest baseline first: it is what the candidate is compared with in words while there is no champion.
    baselines = sorted(
        summary.baselines.items(), key=lambda pair: -(formats.finite(pair[1].get(measured.leading)) or 0.0)
    )
    rivals |= {formats.label(name): values for name, values in baselines}
    found = []
    order = list(METRICS)
    for name in sorted(metrics, key=lambda each: order.index(each) if each in METRICS else len(order)):
        others = {rival: values[name] for rival, values in rivals.items() if name in values}
        entries = {"candidate": metrics[name], **others}
        scale = max([1.0, *(formats.finite(value) or 0.0 for value in entries.values())])
        details = measured.metrics.get(name)
        found.append(
            {
                "name": formats.label(name),
                "value": metrics[name],
                "interval": _interval(details.interval if details else None),
                "lower_is_better": formats.lower_is_better(name),
                "bars": [
                    {"label": title, "value": value, "share": max(formats.finite(value) or 0.0, 0.0) / scale}
                    for title, value in entries.items()
                ]
                if others
                else [],
                "change": _change(name, metrics[name], others, details.change if details else None),
            }
        )
    return found


def _change(metric: str, value: float, others: Mapping[str, float], interval: Interval | None) -> View | None:
    """How the candidate differs from the first rival (the champion, where there is one); maybe by noise alone."""
    rival = next(iter(others), None)
    numbers = formats.finite(value), formats.finite(others.get(rival)) if rival else None
    if numbers[0] is None or numbers[1] is None:
        return None
    difference = numbers[0] - numbers[1]
    name = "the champion" if rival == "champion" else rival
    if round(difference, 3) == 0:
        return {"tone": "even", "text": f"level with {name}"}
    better = (difference < 0) == formats.lower_is_better(metric)
    size, tone = formats.number(abs(difference)), "better" if better else "worse"
    text = f"{size} {tone} than {name}"
    if rival == "champion" and interval and interval.low <= 0 <= interval.high:
        return {"tone": "even", "text": f"{text}, within noise"}
    return {"tone": tone, "text": text}


def classes(rows: Sequence[ClassScore], measured: Sequence[ClassFindings]) -> list[View]:
    """The classes from the lowest F1 upwards; the weakest one is marked when there are others to compare it with.

    Args:
        rows: The score of each class.
        measured: Its metrics with intervals, as far as there are any.
    """
    with_intervals = {row.name: row.metrics for row in measured}
    # A class without examples has no F1 to be judged by: it goes last.
    ordered = sorted(rows, key=lambda row: row.f1 if row.support else 2.0)
    judged = {row.f1 for row in rows if row.support}
    of_row = {
        row.name: {name: Measured(value=getattr(row, name)) for name in SCORES} | with_intervals.get(row.name, {})
        for row in rows
    }
    columns = [*SCORES, *(name for name in METRICS if name not in SCORES and any(name in of for of in of_row.values()))]
    bands = {name: of["f1"].interval for name, of in of_row.items()}
    scale = share_scale(value for row in rows for value in (row.f1, *_ends(bands[row.name])))
    return [
        {
            "name": row.name,
            "support": row.support,
            "weakest": len(judged) > 1 and row.support > 0 and row.f1 == min(judged),
            "cells": {
                name: {"value": found.value, "interval": _interval(found.interval)} if found else None
                for name in columns
                for found in [of_row[row.name].get(name)]
            },
            "gauge": gauge(row.f1, interval=bands[row.name], scale=scale),
            "scale": scale,
        }
        for row in ordered
    ]


def slices(measured: Findings) -> View | None:
    """The leading metric by slice, one group for each choice of columns, the weakest slice first."""
    whole = measured.metrics.get(measured.leading)
    overall = whole.value if whole else None
    groups: dict[tuple[str, ...], list[SliceFindings]] = {}
    for row in measured.slices:
        groups.setdefault(tuple(row.slice), []).append(row)
    if not groups:
        return None
    shown = []
    for columns, members in groups.items():
        drawn = (value for row in members for value in (row.value, row.champion, *_ends(row.interval)))
        scale = share_scale([*drawn, overall])
        weakest = sorted(members, key=lambda row: row.value)[:SLICES_SHOWN]
        shown.append(
            {
                "name": " × ".join("class" if column == "label" else column for column in columns),
                "rows": [
                    {
                        "row": row,
                        "name": " × ".join(value or "(empty)" for value in row.slice.values()),
                        "interval": _interval(row.interval),
                        "gauge": gauge(row.value, overall, row.interval, row.champion, scale),
                    }
                    for row in weakest
                ],
                "scale": scale,
                "hidden": len(members) - len(weakest),
                "champion": any(row.champion is not None for row in members),
            }
        )
    return {"groups": shown, "left_out": measured.slices_left_out, "metric": measured.leading}


def calibration(
    bins: Mapping[str, Sequence[ReliabilityBin]], error: float | None, judged: str, holds: str
) -> View | None:
    """The reliability diagram, and in words whether the model is too sure.

    Args:
        bins: Of each model.
        error: The expected calibration error.
        judged: What one probability is about, in a word.
        holds: What that is when the model was justly sure, in a word.
    """
    candidate, champion = bins.get("candidate", []), bins.get("champion", [])
    total = sum(row.examples for row in candidate)
    if not total:
        return None
    sure = sum(row.examples * row.confidence for row in candidate) / total
    right = sum(row.examples * row.accuracy for row in candidate) / total
    gap = sure - right
    verdict = "its probabilities can be taken at their word, on average"
    if abs(gap) >= CALIBRATION_GAP:
        points = f"{100 * abs(gap):.0f} points"
        verdict = f"it is too sure by {points}" if gap > 0 else f"it could be surer by {points}"
    shares = f"{formats.percent(sure)} sure of each {judged}, and {formats.percent(right)} are {holds}"
    sentence = f"On average it is {shares}: {verdict}."
    surest = candidate[-1]
    return {
        "image": evaluation_figures.reliability_diagram(candidate, champion, judged, holds),
        "alt": f"Reliability diagram: accuracy against confidence in {formats.plural(len(candidate), 'bin')} of "
        f"{formats.plural(total, judged)}. {sentence}",
        "sentences": [
            sentence,
            f"Of the {formats.plural(surest.examples, judged)} it is surest of ({formats.percent(surest.low)} "
            f"and more), {formats.percent(surest.accuracy)} are {holds}.",
            "" if formats.finite(error) is None else f"The expected calibration error is {formats.number(error)}.",
        ],
        "has_champion": bool(champion),
        "judged": judged,
    }


def serving(measured: ServingMetrics, milliseconds: Mapping[str, Mapping[int, Sequence[float]]]) -> View | None:
    """How fast and how large the exported model is, beside champion and teacher measured in the same minute."""
    metrics = measured.metrics
    others = {"champion": measured.champion_metrics or {}, "teacher": measured.teacher_metrics or {}}

    def beside(name: str) -> dict[str, float]:
        return {who: other[name] for who, other in others.items() if name in other}

    facts = [
        {
            "name": metric.label,
            "value": _with_unit(metrics[name], metric.unit),
            "beside": {who: _with_unit(value, metric.unit) for who, value in beside(name).items()},
        }
        for name, metric in METRICS.items()
        if metric.of_model and name not in TIMED and formats.finite(metrics.get(name)) is not None
    ]
    batches: list[View] = [
        {
            "size": size,
            "cells": [
                {
                    "value": metrics.get(name),
                    "beside": {who: each[name] for who, each in others.items() if name in each},
                }
                for name in (*(latency(quantile, size) for quantile in QUANTILES), throughput(size))
            ],
        }
        for size in BATCH_SIZES
        if throughput(size) in metrics
    ]
    if not facts and not batches:
        return None
    drawn = {
        model: {size: list(values) for size, values in by_size.items() if values}
        for model, by_size in milliseconds.items()
    }
    requests = sum(len(values) for values in drawn.get("candidate", {}).values())
    return {
        "facts": facts,
        "batches": batches,
        "images": evaluation_figures.latency_histograms(drawn) if drawn.get("candidate") else {},
        "alt": f"Histogram of the latency of {requests:,} requests by batch size. "
        + " ".join(
            f"Batches of {row['size']}: half within {formats.number(row['cells'][0]['value'], 1)} ms."
            for row in batches
        ),
    }


def _interval(interval: Interval | None) -> str:
    """`0.871 to 0.940`, or nothing."""
    if interval is None or not (math.isfinite(interval.low) and math.isfinite(interval.high)):
        return ""
    return f"{formats.number(interval.low)} to {formats.number(interval.high)}"


def _ends(interval: Interval | None) -> tuple[float | None, float | None]:
    return (interval.low, interval.high) if interval else (None, None)


def _with_unit(value: object, unit: str) -> str:
    digits = 2 if unit == "s" else 1 if unit else 3
    return f"{formats.number(value, digits)} {unit}".strip()
