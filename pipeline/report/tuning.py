"""The report's section on a search over training keys: its trials, what each key explains, what the best is worth."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from finetune.artifacts.tuning import Effect, Trial, TriedKey, Tuning
from pipeline.report import formats
from pipeline.report.figures import BLUE, INK, MUTED, RULE, drawing, fitted, svg
from pipeline.report.sentences import best_trials, key_name, tuning_sentences

# A page with more rows than this would be slow to open.
TRIALS_SHOWN = 200
# More axes side by side cannot be read; those that explain most are drawn.
MOST_AXES = 8
_INCHES, _EFFECT_INCHES = (8.6, 3.6), (8.6, 2.6)


def tuning(found: Tuning | None) -> dict[str, Any] | None:
    """Returns what the section shows; None where nothing was searched."""
    if found is None:
        return None
    best_first = best_trials(found)
    failed = [trial for trial in found.trials if trial.state == "failed"]
    rows = [_row(trial, found) for trial in best_first[:TRIALS_SHOWN]]
    return {
        "sentences": tuning_sentences(found),
        "keys": [key_name(key.key) for key in found.keys],
        "rows": rows,
        "left_out": len(best_first) - len(rows),
        "stopped": found.stopped,
        "failed": [{"number": trial.number, "reason": trial.reason} for trial in failed],
        "shares": len({trial.share for trial in found.trials}) > 1,
        "sensitivity": _sensitivity(found),
        "figures": list(_figures(found)),
        "metric": formats.label(found.metric),
    }


def _row(trial: Trial, found: Tuning) -> dict[str, Any]:
    return {
        "trial": trial,
        "best": trial.number == found.best,
        "values": [formats.shown(_value(trial, key)) for key in found.keys],
    }


def _value(trial: Trial, key: TriedKey) -> Any:
    return trial.values.get(key.key, key.as_it_is)


def _sensitivity(found: Tuning) -> list[dict[str, Any]]:
    """Returns how much each key explains, most first; empty where that cannot be told of any."""
    known = [key for key in found.keys if key.explained is not None]
    known.sort(key=lambda key: -(key.explained or 0.0))
    return [{"key": key_name(key.key), "share": key.explained} for key in known]


def _figures(found: Tuning) -> list[dict[str, str]]:
    if found.effects:
        by_key: dict[str, list[Effect]] = {}
        for effect in found.effects:
            by_key.setdefault(effect.key, []).append(effect)
        keys = {key.key: key for key in found.keys}
        return [
            {
                "image": _effect(keys[key], effects, found),
                "alt": f"How {formats.label(found.metric)} changes with {key_name(key)}, with intervals.",
            }
            for key, effects in by_key.items()
        ]
    if len(found.done) < 2:
        return []
    alt = (
        f"One line for each of {formats.plural(len(found.done), 'trial')}, through its value of each key to its score"
        f"{'; dotted where it ended early' if found.stopped else ''}."
    )
    return [{"image": _parallel(found), "alt": alt}]


def _parallel(found: Tuning) -> str:
    """Draws a line for each trial through an axis for each key; the last axis is the score, better ones up."""
    from matplotlib.figure import Figure

    keys = sorted(found.keys, key=lambda key: -(key.explained or 0.0))[:MOST_AXES]
    trials = best_trials(found)[::-1]
    with drawing():
        figure = Figure(figsize=_INCHES, layout="constrained")
        axes = figure.subplots()
        axes.grid(False)
        scores = _shown_scores([trial.score or 0.0 for trial in trials])
        scale = _scale(scores, False)
        if not found.higher_is_better:
            scale = _turned(scale)
        places = range(len(keys) + 1)
        for rank, trial in enumerate(trials):
            heights = [_height(key, _value(trial, key), trials) for key in keys] + [
                min(1.0, max(0.0, scale(trial.score or 0.0)))
            ]
            best = trial.number == found.best
            alpha = 1.0 if best else 0.15 + 0.6 * rank / len(trials)
            axes.plot(
                places, heights, color=BLUE if best else MUTED, alpha=alpha, linewidth=2.2 if best else 0.9,
                linestyle=":" if trial.state == "stopped" else "-", zorder=3 if best else 2,
            )  # fmt: skip
        for place, key in enumerate(keys):
            axes.axvline(place, color=RULE, linewidth=1, zorder=1)
            for value in _ticks(key, trials):
                height = _height(key, value, trials)
                axes.text(place + 0.03, height, fitted(formats.shown(value), 14), fontsize=7.5, color=INK, va="center")
        axes.axvline(len(keys), color=RULE, linewidth=1, zorder=1)
        for value in (min(scores), max(scores)):
            axes.text(len(keys) + 0.03, scale(value), formats.number(value), fontsize=7.5, color=INK, va="center")
        names = [fitted(key_name(key.key), 24) for key in keys]
        axes.set_xticks(list(places), [*names, formats.label(found.metric)], fontsize=8, rotation=15, ha="right")
        axes.set_yticks([])
        axes.set_xlim(-0.1, len(keys) + 0.4)
        return svg(figure)


def _effect(key: TriedKey, effects: Sequence[Effect], found: Tuning) -> str:
    """Draws what each value changes, with its interval; the config as it is changes nothing."""
    from matplotlib.figure import Figure

    numbers = not key.choices
    rows = sorted(effects, key=lambda effect: effect.value) if numbers else list(effects)
    places: list[Any] = [effect.value for effect in rows] if numbers else list(range(len(rows)))
    with drawing():
        figure = Figure(figsize=_EFFECT_INCHES, layout="constrained")
        axes = figure.subplots()
        changes = [effect.change for effect in rows]
        below = [effect.change - effect.low for effect in rows]
        above = [effect.high - effect.change for effect in rows]
        axes.axhline(0, color=RULE, linewidth=1.2)
        axes.errorbar(places, changes, yerr=(below, above), fmt="o", color=BLUE, ecolor=MUTED, capsize=3, markersize=5)
        if numbers:
            if key.log:
                axes.set_xscale("log")
            if isinstance(key.as_it_is, int | float):
                axes.axvline(key.as_it_is, color=INK, linewidth=1, linestyle=":", label="the config as it is")
                axes.legend(frameon=False, fontsize=8.5, labelcolor=MUTED)
        else:
            axes.set_xticks(places, [fitted(formats.shown(effect.value), 24) for effect in rows])
        better = "up" if found.higher_is_better else "down"
        axes.set_title(f"{key_name(key.key)}: change of {formats.label(found.metric)}, better is {better}",
                       loc="left", fontweight="bold", fontsize=10)  # fmt: skip
        return svg(figure)


def _height(key: TriedKey, value: Any, trials: Sequence[Trial]) -> float:
    """Returns where on its axis a value of a key lies, in [0, 1]."""
    if key.choices:
        known = _listed(key, trials)
        return known.index(value) / max(1, len(known) - 1)
    return _scale(_numbers(key, trials), key.log)(value) if isinstance(value, int | float) else 0.0


def _listed(key: TriedKey, trials: Sequence[Trial]) -> list[Any]:
    """Returns the choices of a key, and what the config says of it where that is none of them."""
    found = list(key.choices)
    for trial in trials:
        if (value := _value(trial, key)) not in found:
            found.append(value)
    return found


def _numbers(key: TriedKey, trials: Sequence[Trial]) -> list[float]:
    ends = [end for end in (key.low, key.high) if end is not None]
    return ends + [value for trial in trials if isinstance(value := _value(trial, key), int | float)]


def _ticks(key: TriedKey, trials: Sequence[Trial]) -> list[Any]:
    numbers = _numbers(key, trials) if not key.choices else []
    return [min(numbers), max(numbers)] if numbers else _listed(key, trials)


def _shown_scores(scores: Sequence[float]) -> list[float]:
    """Returns the ends of the axis of scores, worst first: a few trials that failed to learn do not squeeze the others.

    Args:
        scores: Worst first.
    """
    best, median = scores[-1], scores[len(scores) // 2]
    worst = best + 4 * (median - best)
    return [worst if abs(worst - best) < abs(scores[0] - best) else scores[0], best]


def _scale(values: Sequence[float], log: bool) -> Any:
    """Makes a function from a value to its place between the least and the largest, in [0, 1]."""
    positive = [value for value in values if value > 0]
    to = (lambda value: math.log(max(value, min(positive)))) if log and positive else float
    low, high = to(min(values)), to(max(values))
    return lambda value: (to(value) - low) / (high - low) if high > low else 0.5


def _turned(scale: Any) -> Any:
    return lambda value: 1.0 - scale(value)
