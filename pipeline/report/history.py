"""The page that shows a pipeline over time: what is shown is decided here, the template only lays out."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from finetune.artifacts.history import History, PastVersion
from finetune.spans import place_of
from pipeline.history.events import DRIFT, Event, events_of, time_of
from pipeline.report import formats
from pipeline.report.figures import BLUE, INK, MUTED, drawing, svg

RUST = "#b2541e"
_INCHES = (8.6, 3.2)
# How outcomes are drawn: marker, colour of its edge, and whether it is filled.
_MARKS = {
    "pushed": ("o", BLUE, True),
    "approved": ("o", BLUE, True),
    "pending": ("D", BLUE, False),
    "refused": ("X", RUST, True),
}
# A page with more rows than this would be slow to open.
EVENTS_SHOWN = 1000
# Spans beside each other, the latest, and candidates below each other.
SPANS_SHOWN, CANDIDATES_SHOWN = 20, 50


def render(history: History, metric: str, title: str) -> str:
    """Returns a history as an HTML page that needs no network and no other file; everything in it is escaped.

    Args:
        history: Of an output folder.
        metric: Name of the one that is drawn and told of each model.
        title: Of the pipeline.
    """
    folder = FileSystemLoader(Path(__file__).parent)
    environment = Environment(
        loader=folder, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"number": formats.number, "plural": formats.plural}
    return environment.get_template("history.html.j2").render(page(history, metric, title))


def page(history: History, metric: str, title: str) -> dict[str, Any]:
    """Returns all that the template shows."""
    events = events_of(history)
    metrics = list(dict.fromkeys([metric, *(name for event in events for name in event.metrics or {})]))
    return {
        "title": title,
        "metric": formats.label(metric),
        "events": [_row(event, metric) for event in reversed(events[-EVENTS_SHOWN:])],
        "left_out": max(len(events) - EVENTS_SHOWN, 0),
        "versions": [_version(one, history.served, metric) for one in reversed(history.versions)],
        "served": history.served,
        "spans": _by_span(events),
        "figures": list(_figures(events, metric)),
        "metrics": metrics,
        "counts": counts(events),
    }


def _by_span(events: Sequence[Event]) -> dict[str, Any]:
    """What candidates and the champions beside them measured on each span: names of spans, and a row a candidate."""
    judged = [event for event in events if event.spans][-CANDIDATES_SHOWN:]
    names = sorted({name for event in judged for name in event.spans}, key=place_of)[-SPANS_SHOWN:]
    rows = [
        {
            "at": moment(event.at),
            "outcome": event.outcome,
            "version": event.version,
            "values": [(event.spans.get(name), event.champion_spans.get(name)) for name in names],
        }
        for event in reversed(judged)
    ]
    return {"names": names, "rows": rows}


def counts(events: Sequence[Event]) -> str:
    """What became of runs, such as `3 pushed, 1 refused`."""
    outcomes = [event.outcome for event in events if event.run_id]
    return ", ".join(f"{outcomes.count(outcome):,} {outcome}" for outcome in dict.fromkeys(outcomes))


def moment(at: datetime | None) -> str:
    """When something was, to the minute, in UTC."""
    return f"{at:%Y-%m-%d %H:%M}" if at else ""


def _row(event: Event, metric: str) -> dict[str, Any]:
    return {
        "at": moment(event.at),
        "outcome": event.outcome,
        "tone": "failed" if event.outcome in ("failed", "refused") else "passed" if event.version else "",
        "run": event.run_id,
        "version": event.version,
        "value": (event.metrics or {}).get(metric),
        "champion": (event.champion or {}).get(metric),
        "reasons": event.reasons,
    }


def _version(one: PastVersion, served: int | None, metric: str) -> dict[str, Any]:
    what = f"the model of version {one.rolled_back_to} again" if one.rolled_back_to is not None else ""
    people = one.by if one.rolled_back_to is not None else one.approved_by
    return {
        "version": one.version,
        "at": moment(time_of(one.at)),
        "value": one.metrics.get(metric),
        "what": ", ".join(filter(None, [what, f"by {people}" if people else ""])),
        "state": "served" if one.version == served else "",
        "sha256": one.model_sha256[:12],
    }


def _figures(events: Sequence[Event], metric: str) -> Iterator[dict[str, str]]:
    """Draws the metric over time, and what was measured of drift where it was."""
    timed = [event for event in events if event.at]
    judged = [event for event in timed if event.run_id and math.isfinite((event.metrics or {}).get(metric, math.nan))]
    if len(judged) > 1:
        label = formats.label(metric)
        alt = f"{_sentence(label)} of {formats.plural(len(judged), 'candidate')} over time, and of the champion beside."
        yield {"image": _models(judged, timed, metric), "alt": alt}
    drift: dict[str, list[Event]] = {}
    for event in timed:
        for reason in event.drift:
            drift.setdefault(reason.name, []).append(event)
    for name, measured in drift.items():
        if len(measured) > 1:
            title = DRIFT.get(name, name)
            yield {"image": _drift(measured, name, title), "alt": f"{_sentence(title)} over time, and its bound."}


def _models(judged: Sequence[Event], timed: Sequence[Event], metric: str) -> str:
    with drawing():
        figure, axes = _panel(_sentence(formats.label(metric)))
        beside = [(event.at, event.champion[metric]) for event in judged if event.champion and metric in event.champion]
        if beside:
            axes.plot(*zip(*beside, strict=True), "--", color=MUTED, linewidth=1.2, label="champion")
        for outcome, (marker, colour, filled) in _MARKS.items():
            points = [(event.at, (event.metrics or {})[metric]) for event in judged if event.outcome == outcome]
            if points:
                face = colour if filled else "white"
                axes.plot(
                    *zip(*points, strict=True), marker, color=colour, markerfacecolor=face, markersize=7, label=outcome
                )
        back = [event.at for event in timed if event.outcome == "rolled back"]
        for place, at in enumerate(back):
            axes.axvline(at, color=INK, linewidth=1, linestyle=":", label=None if place else "rolled back")
        axes.legend(frameon=False, fontsize=8.5, labelcolor=MUTED, loc="upper left", bbox_to_anchor=(1, 1))
        return svg(figure)


def _drift(measured: Sequence[Event], name: str, title: str) -> str:
    found = [(event.at, next(reason for reason in event.drift if reason.name == name)) for event in measured]
    with drawing():
        figure, axes = _panel(_sentence(title))
        axes.plot(
            [at for at, _ in found], [one.value for _, one in found], "o-", color=BLUE, linewidth=1.4, markersize=4
        )
        bounds = [(at, one.bound) for at, one in found if one.bound is not None]
        if bounds:
            axes.plot(*zip(*bounds, strict=True), "--", color=RUST, linewidth=1.2, label="bound")
            axes.legend(frameon=False, fontsize=8.5, labelcolor=MUTED, loc="upper left", bbox_to_anchor=(1, 1))
        return svg(figure)


def _sentence(words: str) -> str:
    """Begins words as a sentence does, and leaves the rest as it is."""
    return words[:1].upper() + words[1:]


def _panel(title: str) -> tuple[Any, Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=_INCHES, layout="constrained")
    axes = figure.subplots()
    axes.set_title(title, loc="left", fontweight="bold", fontsize=10)
    return figure, axes
