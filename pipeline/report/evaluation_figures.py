"""Figures of the evaluation: reliability diagram and latency histogram, as `data:image/svg+xml` URIs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from finetune.artifacts.findings import Interval, ReliabilityBin
from pipeline.report.figures import BLUE, INK, MUTED, RULE, drawing, fitted, svg

RELIABILITY_SIZE = (5.2, 5.4)
LATENCY_BINS, LATENCY_PANEL = 30, (2.9, 2.3)
# Inches of a bar with the gap below it.
BAR_HEIGHT = 0.22
# Of a name beside a bar.
NAME_LETTERS = 24


def reliability_diagram(
    candidate: Sequence[ReliabilityBin], champion: Sequence[ReliabilityBin], judged: str, holds: str
) -> str:
    """Accuracy against confidence, also of the champion, if any; on the diagonal, probabilities mean what they say.

    Args:
        judged: What one probability is about, in a word.
        holds: What that is when the model was justly sure, in a word.
    """
    with drawing():
        from matplotlib.figure import Figure
        from matplotlib.ticker import PercentFormatter

        figure = Figure(figsize=RELIABILITY_SIZE, layout="constrained")
        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(4, 1))
        upper.plot([0, 1], [0, 1], color=RULE, linewidth=1.2, zorder=0)
        upper.annotate(
            "as right as it is sure",
            (0.04, 0.04),
            xytext=(0, 6),
            textcoords="offset points",
            rotation=45,
            rotation_mode="anchor",
            transform_rotates_text=True,
            color=MUTED,
            fontsize=8,
        )
        if champion:
            upper.plot(*_sure_and_right(champion), "--", color=MUTED, linewidth=1.2, label="champion")
        sure, right = _sure_and_right(candidate)
        upper.vlines(sure, sure, right, color=BLUE, alpha=0.25, linewidth=5, zorder=1)
        upper.plot(sure, right, "-", color=BLUE, linewidth=1.2, alpha=0.6, zorder=2, label="candidate")
        most = max(row.examples for row in candidate)
        sizes = [16 + 130 * row.examples / most for row in candidate]
        upper.scatter(sure, right, s=sizes, color=BLUE, edgecolor="white", linewidth=1, zorder=3)
        upper.set_ylabel(holds)
        upper.set_xlim(-0.02, 1.02)
        upper.set_ylim(-0.02, 1.02)
        if champion:
            upper.legend(frameon=False, fontsize=8.5, labelcolor=MUTED, loc="upper left")
        lows, counts, widths = zip(*((row.low, row.examples, row.high - row.low) for row in candidate), strict=True)
        lower.bar(lows, counts, width=widths, align="edge", color=BLUE, alpha=0.7, edgecolor="white", linewidth=1)
        lower.set_xlabel("sure")
        lower.set_ylabel(f"{judged}s")
        for axis in (upper.xaxis, upper.yaxis):
            axis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        return svg(figure)


def _sure_and_right(bins: Sequence[ReliabilityBin]) -> tuple[list[float], list[float]]:
    return [row.confidence for row in bins], [row.accuracy for row in bins]


def latency_histograms(milliseconds: Mapping[str, Mapping[int, Sequence[float]]]) -> dict[str, str]:
    """Times of single requests, a picture for each batch size: the candidate filled, the champion as an outline.

    Args:
        milliseconds: By model (`candidate`, maybe `champion`) and batch size.
    """
    with drawing():
        import numpy as np
        from matplotlib.figure import Figure

        candidate, champion = milliseconds["candidate"], milliseconds.get("champion") or {}
        pictures: dict[str, str] = {}
        for size in sorted(candidate):
            figure = Figure(figsize=LATENCY_PANEL, layout="constrained")
            axes = figure.subplots()
            everything = np.concatenate([candidate[size], champion.get(size) or []])
            # A handful of stragglers would press all others into one bar; they are counted in the last one.
            end = float(np.quantile(everything, 0.98)) * 1.1 or 1.0
            edges = np.linspace(min(float(everything.min()), end) * 0.95, end, LATENCY_BINS + 1).tolist()
            axes.hist(np.clip(candidate[size], None, end), edges, color=BLUE, alpha=0.75, label="candidate")
            if champion.get(size):
                clipped = np.clip(champion[size], None, end)
                axes.hist(clipped, edges, histtype="step", color=INK, linewidth=1.1, label="champion")
            half, most = np.quantile(candidate[size], [0.5, 0.95])
            for place, name in ((half, "p50"), (most, "p95")):
                axes.axvline(min(place, end), color=MUTED, linewidth=0.9, linestyle=":")
                axes.annotate(
                    name,
                    (min(place, end), 1),
                    xycoords=("data", "axes fraction"),
                    xytext=(2, -8),
                    textcoords="offset points",
                    color=MUTED,
                    fontsize=7.5,
                )
            axes.set_title(f"Batches of {size}", loc="left", fontweight="bold", fontsize=10)
            axes.set_xlabel("ms a batch")
            axes.set_yticks([])
            if champion and not pictures:
                axes.legend(frameon=False, fontsize=8.5, labelcolor=MUTED, loc="center right")
            pictures[f"Batches of {size}"] = svg(figure)
        return pictures


def label_bars(rows: Sequence[tuple[str, float, Interval | None]]) -> str:
    """A bar for each label, one below the other, with its interval as a line through its end.

    Args:
        rows: Name, value in [0, 1] and its interval.
    """
    with drawing():
        from matplotlib.figure import Figure
        from matplotlib.ticker import MultipleLocator

        figure = Figure(figsize=(RELIABILITY_SIZE[0], 0.6 + BAR_HEIGHT * len(rows)), layout="constrained")
        axes = figure.subplots()
        axes.grid(False, axis="y")
        axes.grid(True, axis="x")
        places = range(len(rows))
        axes.barh(places, [value for _, value, _ in rows], height=0.62, color=BLUE, alpha=0.6)
        for place, (_, _, interval) in zip(places, rows, strict=True):
            if interval:
                axes.plot([interval.low, interval.high], [place, place], color=INK, linewidth=1.4)
        axes.set_yticks(places, [fitted(name, NAME_LETTERS) for name, _, _ in rows], color=INK, parse_math=False)
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.set_xlim(0, 1)
        axes.xaxis.set_major_locator(MultipleLocator(0.2))
        axes.set_xlabel("F1")
        return svg(figure)
