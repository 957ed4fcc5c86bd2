"""What the report shows of the evaluation: gates, metrics, classes, slices, calibration and serving."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from evaluation.metrics import METRICS
from evaluation.metrics.serving import BATCH_SIZES, QUANTILES, TIMED, latency, throughput
from pipeline.report import evaluation_figures, wording

View = dict[str, Any]

# Up to this many gates are listed one and all; of more, those that passed are folded away.
GATES_SHOWN = 12
SLICES_SHOWN = 60
# A difference between confidence and accuracy that is worth a word.
CALIBRATION_GAP = 0.02


def gauge(
    value: object,
    bound: object = None,
    interval: Mapping[str, Any] | None = None,
    reference: object = None,
    scale: tuple[float, float] | None = None,
) -> View | None:
    """Where to draw a value, its interval, a bound and a reference on a line.

    Args:
        value: To be drawn as a dot.
        bound: To be drawn as a tick.
        interval: With `low` and `high`, to be drawn as a band.
        reference: To be drawn as a ring.
        scale: Values at both ends; default: around what there is to draw and 0.

    Returns:
        Positions from 0 to 1, None where there is nothing to draw; None without a value.
    """
    places = {
        "value": wording.finite(value),
        "bound": wording.finite(bound),
        "low": wording.finite((interval or {}).get("low")),
        "high": wording.finite((interval or {}).get("high")),
        "reference": wording.finite(reference),
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
    known = [found for value in values if (found := wording.finite(value)) is not None]
    if not known or min(known) < 0 or max(known) > 1:
        return None
    return max(0.0, math.floor((min(known) - 0.05) * 10) / 10), min(1.0, math.ceil((max(known) + 0.05) * 10) / 10)


def gates(rows: Iterable[Mapping[str, Any]]) -> View | None:
    """The gates that failed first; of very many, those that passed apart."""
    shown = sorted((_gate(row) for row in rows), key=lambda row: {"failed": 0, "passed": 1}.get(row["state"], 2))
    if not shown:
        return None
    failed = [row for row in shown if row["state"] == "failed"]
    others = shown[len(failed) :]
    folded = others if len(shown) > GATES_SHOWN else []
    return {"shown": failed if folded else shown, "folded": folded, "failed": len(failed)}


def _gate(row: Mapping[str, Any]) -> View:
    value, bound = wording.value_and_bound(row.get("value"), row.get("bound"))
    passed, judged = bool(row.get("passed")), row.get("judged", True)
    interval = (row.get("interval") if judged else None) or {}
    ends = (row.get("value"), row.get("bound"), interval.get("low"), interval.get("high"))
    return {
        "name": wording.typeset(row.get("name") or wording.label(row.get("metric"))),
        "value": value,
        "bound": bound,
        "state": "failed" if not passed else "passed" if judged else "idle",
        "reason": wording.gate_reason(row),
        "advice": row.get("advice") or "",
        "examples": row.get("examples") if judged else None,
        "interval": _interval(interval),
        "gauge": gauge(
            row.get("value"),
            row.get("bound"),
            interval,
            scale=None if row.get("reference_name") else share_scale(ends),
        ),
    }


def cards(summary: Mapping[str, Any], measured: Mapping[str, Any]) -> list[View]:
    """One card per metric: the candidate's value and interval, and the same metric of all it can be compared with."""
    metrics = {
        name: value for name, value in (summary.get("metrics") or {}).items() if wording.as_number(value) is not None
    }
    rivals = {"champion": summary.get("champion_metrics") or {}}
    # The strongest baseline first: it is what the candidate is compared with in words while there is no champion.
    baselines = [(wording.label(name), values or {}) for name, values in (summary.get("baselines") or {}).items()]
    baselines.sort(key=lambda pair: -(wording.finite(pair[1].get("accuracy")) or 0.0))
    rivals |= dict(baselines)
    found = []
    order = list(METRICS)
    for name in sorted(metrics, key=lambda each: order.index(each) if each in METRICS else len(order)):
        others = {
            rival: values[name] for rival, values in rivals.items() if wording.as_number(values.get(name)) is not None
        }
        entries = {"candidate": metrics[name], **others}
        scale = max([1.0, *(wording.finite(value) or 0.0 for value in entries.values())])
        details = measured.get(name) or {}
        found.append(
            {
                "name": wording.label(name),
                "value": metrics[name],
                "interval": _interval(details.get("interval")),
                "lower_is_better": wording.lower_is_better(name),
                "bars": [
                    {"label": title, "value": value, "share": max(wording.finite(value) or 0.0, 0.0) / scale}
                    for title, value in entries.items()
                ]
                if others
                else [],
                "change": _change(name, metrics[name], others, details.get("change")),
            }
        )
    return found


def _change(
    metric: str, value: object, others: Mapping[str, object], interval: Mapping[str, Any] | None
) -> View | None:
    """How the candidate differs from the first rival (the champion, where there is one); maybe by noise alone."""
    rival = next(iter(others), None)
    numbers = wording.finite(value), wording.finite(others.get(rival)) if rival else None
    if numbers[0] is None or numbers[1] is None:
        return None
    difference = numbers[0] - numbers[1]
    name = "the champion" if rival == "champion" else rival
    if round(difference, 3) == 0:
        return {"tone": "even", "text": f"level with {name}"}
    better = (difference < 0) == wording.lower_is_better(metric)
    size, tone = wording.number(abs(difference)), "better" if better else "worse"
    text = f"{size} {tone} than {name}"
    if rival == "champion" and interval and interval["low"] <= 0 <= interval["high"]:
        return {"tone": "even", "text": f"{text}, within noise"}
    return {"tone": tone, "text": text}


def classes(rows: Sequence[Mapping[str, Any]], measured: Sequence[Mapping[str, Any]]) -> list[View]:
    """The classes from the lowest F1 upwards; the weakest one is marked when there are others to compare it with.

    Args:
        rows: `class`, `precision`, `recall`, `f1` and `support` of each.
        measured: The same with intervals, as far as there are any.
    """
    with_intervals = {row.get("class"): row for row in measured}
    keys = ("class", "precision", "recall", "f1", "support")
    shown: list[View] = [{key: row.get(key) for key in keys} for row in rows]
    # A class without examples has no F1 to be judged by: it goes last.
    judged = {id(row): wording.finite(row["f1"]) if row["support"] != 0 else None for row in shown}
    shown.sort(key=lambda row: (judged[id(row)] is None, judged[id(row)] or 0.0))
    lowest = judged[id(shown[0])] if shown else None
    distinct = len(set(judged.values()) - {None}) > 1
    for row in shown:
        row["weakest"] = distinct and judged[id(row)] == lowest
        details = with_intervals.get(row["class"]) or {}
        row["intervals"] = {
            metric: _interval((details.get(metric) or {}).get("interval")) for metric in ("precision", "recall", "f1")
        }
        row["interval"] = (details.get("f1") or {}).get("interval") or {}
    scale = share_scale(value for row in shown for value in (row["f1"], *_ends(row["interval"])))
    for row in shown:
        row["gauge"] = gauge(row["f1"], interval=row["interval"], scale=scale)
        row["scale"] = scale
    return shown


def slices(rows: Sequence[Mapping[str, Any]], left_out: object, overall: object) -> View | None:
    """Accuracy by slice, one group for each choice of columns, the weakest slice first.

    Args:
        rows: `slice`, `examples`, `accuracy`, `interval` and `champion` of each.
        left_out: How many more there are.
        overall: Accuracy over all examples, drawn beside each.
    """
    groups: dict[tuple[str, ...], list[View]] = {}
    for row in rows:
        where = row.get("slice") or {}
        groups.setdefault(tuple(where), []).append(
            {
                "name": " × ".join(str(value) if str(value) else "(empty)" for value in where.values()),
                "examples": row.get("examples"),
                "accuracy": row.get("accuracy"),
                "champion": row.get("champion"),
                "interval": _interval(row.get("interval")),
                "ends": row.get("interval") or {},
            }
        )
    if not groups:
        return None
    shown = []
    for columns, members in groups.items():
        drawn = (value for row in members for value in (row["accuracy"], row["champion"], *_ends(row["ends"])))
        scale = share_scale([*drawn, overall])
        for row in members:
            row["gauge"] = gauge(row["accuracy"], overall, row["ends"], row["champion"], scale)
        members.sort(key=lambda row: wording.finite(row["accuracy"]) or 0.0)
        shown.append(
            {
                "name": " × ".join("class" if column == "label" else column for column in columns),
                "rows": members[:SLICES_SHOWN],
                "scale": scale,
                "hidden": len(members) - len(members[:SLICES_SHOWN]),
                "champion": any(row["champion"] is not None for row in members),
            }
        )
    return {"groups": shown, "left_out": int(wording.finite(left_out) or 0)}


def calibration(bins: Mapping[str, Sequence[Mapping[str, Any]]], error: object) -> View | None:
    """The reliability diagram, and in words whether the model is too sure."""
    candidate = list(bins.get("candidate") or [])
    total = sum(row["examples"] for row in candidate)
    if not total:
        return None
    sure, right = (sum(row["examples"] * row[key] for row in candidate) / total for key in ("confidence", "accuracy"))
    gap = sure - right
    verdict = "its probabilities can be taken at their word, on average"
    if abs(gap) >= CALIBRATION_GAP:
        points = f"{100 * abs(gap):.0f} points"
        verdict = f"it is too sure by {points}" if gap > 0 else f"it could be surer by {points}"
    sentence = f"On average it is {wording.percent(sure)} sure and {wording.percent(right)} right: {verdict}."
    surest = candidate[-1]
    return {
        "image": evaluation_figures.reliability_diagram(candidate, list(bins.get("champion") or [])),
        "alt": f"Reliability diagram: accuracy against confidence in {wording.plural(len(candidate), 'bin')} of "
        f"{total:,} examples. {sentence}",
        "sentences": [
            sentence,
            f"Of the {wording.plural(surest['examples'], 'example')} it is surest of ({wording.percent(surest['low'])} "
            f"and more), {wording.percent(surest['accuracy'])} are right.",
            *(
                [f"The expected calibration error is {wording.number(error)}."]
                if wording.finite(error) is not None
                else []
            ),
        ],
        "has_champion": bool(bins.get("champion")),
    }


def serving(summary: Mapping[str, Any], milliseconds: Mapping[str, Mapping[Any, Sequence[float]]]) -> View | None:
    """How fast and how large the exported model is, beside the champion measured in the same minute."""
    measured = summary.get("serving") or {}
    metrics, champion = measured.get("metrics") or {}, measured.get("champion_metrics") or {}
    facts = [
        {
            "name": metric.label,
            "value": _with_unit(metrics[name], metric.unit),
            "champion": _with_unit(champion.get(name), metric.unit) if name in champion else "",
        }
        for name, metric in METRICS.items()
        if metric.of_model and name not in TIMED and wording.finite(metrics.get(name)) is not None
    ]
    sizes = [size for size in BATCH_SIZES if throughput(size) in metrics]
    batches: list[View] = [
        {
            "size": size,
            "cells": [
                {"value": metrics.get(name), "champion": champion.get(name)}
                for name in (*(latency(quantile, size) for quantile in QUANTILES), throughput(size))
            ],
        }
        for size in sizes
    ]
    if not facts and not batches:
        return None
    drawn = {
        model: {int(size): list(values) for size, values in by_size.items() if len(values)}
        for model, by_size in milliseconds.items()
    }
    has_times = bool(drawn.get("candidate"))
    requests = sum(len(values) for values in drawn.get("candidate", {}).values())
    return {
        "facts": facts,
        "batches": batches,
        "has_champion": bool(champion),
        "wide": evaluation_figures.latency_histogram(drawn) if has_times else "",
        "narrow": evaluation_figures.latency_histogram(drawn, narrow=True) if has_times else "",
        "alt": f"Histogram of the latency of {requests:,} requests by batch size. "
        + " ".join(
            f"Batches of {row['size']}: half within {wording.number(row['cells'][0]['value'], 1)} ms."
            for row in batches
        ),
    }


def _interval(interval: Mapping[str, Any] | None) -> str:
    """`0.871 to 0.940`, or nothing."""
    if not interval or wording.finite(interval.get("low")) is None or wording.finite(interval.get("high")) is None:
        return ""
    return f"{wording.number(interval['low'])} to {wording.number(interval['high'])}"


def _ends(interval: Mapping[str, Any]) -> tuple[object, object]:
    return interval.get("low"), interval.get("high")


def _with_unit(value: object, unit: str) -> str:
    digits = 2 if unit == "s" else 1 if unit else 3
    return f"{wording.number(value, digits)} {unit}".strip()
