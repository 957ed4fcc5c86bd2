"""The report's figures, drawn without a display and returned as data URIs for an `<img>`.

Text stays text (in the reader's own font) and an SVG inside an `<img>` can neither run scripts nor load anything.
"""

from __future__ import annotations

import base64
import io
import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import groupby
from typing import TYPE_CHECKING, Any

from finetune.artifacts.training_history import CurvePoint
from pipeline.report import formats

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INK, MUTED, RULE, BAND, BLUE = "#1f2428", "#667079", "#d9dcd9", "#f3f4f1", "#28598a"
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    # A fixed salt gives the same ids, hence the same file, for the same run.
    "svg.hashsalt": "finetune",
    "font.family": "sans-serif",
    "font.sans-serif": ["Segoe UI", "Helvetica Neue", "Liberation Sans", "Arial", "DejaVu Sans"],
    "font.size": 9,
    "text.color": INK,
    "axes.edgecolor": RULE,
    "axes.labelcolor": MUTED,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "grid.color": RULE,
    "grid.linewidth": 0.6,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "date.converter": "concise",
}
# Inches; the page puts panels side by side, about 400 CSS pixels each, and on a phone one above the other.
PANEL, SQUARE = (4.3, 3.1), (6.6, 6.0)
# Average width of a letter at the size of the phase names, in points.
LETTER_POINTS = 4.6


def learning_curves(rows: Sequence[CurvePoint]) -> dict[str, str]:
    """Loss and accuracy over all epochs of all phases: train dashed, validation solid, best epoch of a phase as a dot.

    Args:
        rows: One per epoch in the order of training; a value that is not finite leaves a gap.

    Returns:
        A `data:image/svg+xml` URI of each, by name.
    """
    with drawing():
        return {name: _curves_panel(rows, name) for name in ("loss", "accuracy")}


def rate_curve(
    title: str, rates: Sequence[float], losses: Sequence[float], smoothed: Sequence[float], marks: Mapping[str, float]
) -> bytes:
    """The loss over a rising learning rate, as it was and smoothed, with rates marked.

    Args:
        title: Above the figure.
        rates: Of each step, on a logarithmic axis.
        losses: Of each step.
        smoothed: The same without the noise.
        marks: Rates to draw a line at, by what they are called.

    Returns:
        A PNG image of about 1300 by 700 pixels.
    """
    with drawing():
        from matplotlib.figure import Figure

        figure = Figure(figsize=(8.6, 4.6), layout="constrained")
        axes = figure.subplots()
        axes.plot(rates, losses, color=MUTED, alpha=0.4, linewidth=1, label="loss of each batch")
        axes.plot(rates, smoothed, color=BLUE, linewidth=1.8, label="smoothed")
        for (name, rate), style in zip(marks.items(), ("-", "--", ":"), strict=False):
            axes.axvline(rate, color=INK, linewidth=1, linestyle=style, label=name)
        axes.set_xscale("log")
        # A single wild batch at the end must not flatten the rest.
        axes.set_ylim(0, 1.1 * max(*smoothed, losses[0]))
        axes.set_xlabel("learning rate")
        axes.set_ylabel("training loss")
        axes.set_title(title, loc="left")
        axes.legend(frameon=False)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=150, metadata={"Software": None})
        return buffer.getvalue()


def confusion_heatmap(shares: Sequence[Sequence[float]]) -> str:
    """A confusion matrix too large to print as numbers, as a picture.

    Args:
        shares: Rows are true classes, columns predicted ones; each value is the share (0 to 1) of the row's examples.

    Returns:
        A `data:image/svg+xml` URI.
    """
    with drawing():
        from matplotlib.colors import LinearSegmentedColormap, PowerNorm
        from matplotlib.figure import Figure

        figure = Figure(figsize=SQUARE, layout="constrained")
        axes = figure.subplots()
        axes.grid(False)
        size = len(shares)
        # The square root makes a class's 2% of mistakes visible beside its 98% of hits.
        image = axes.imshow(
            shares,
            cmap=LinearSegmentedColormap.from_list("paper to blue", ["#fbfbf9", "#9db8d2", BLUE, "#12304f"]),
            norm=PowerNorm(0.5, vmin=0, vmax=1),
            interpolation="none",
            extent=(0.5, size + 0.5, size + 0.5, 0.5),
        )
        axes.set_xlabel("predicted class")
        axes.set_ylabel("true class")
        bar = figure.colorbar(image, ax=axes, shrink=0.5, aspect=24, ticks=[0, 0.05, 0.25, 0.5, 1])
        bar.ax.set_yticklabels(["0%", "5%", "25%", "50%", "100%"])
        bar.ax.spines["outline"].set_visible(False)
        return svg(figure)


def _curves_panel(rows: Sequence[CurvePoint], name: str) -> str:
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=PANEL, layout="constrained")
    axes = figure.subplots()
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8, min_n_ticks=1))
    axes.set_xlim(0.5, len(rows) + 0.5)
    axes.set_xlabel("epoch")
    axes.set_title(name.capitalize(), loc="left", fontweight="bold", fontsize=10, pad=22)
    numbered = list(enumerate(rows, start=1))
    for index, (phase, group) in enumerate(groupby(numbered, key=lambda pair: pair[1].phase)):
        members = list(group)
        first, last = members[0][0], members[-1][0]
        if index % 2 == 0:
            axes.axvspan(first - 0.5, last + 0.5, color=BAND, linewidth=0, zorder=0)
        letters = int((PANEL[0] * 72 - 40) * len(members) / len(rows) / LETTER_POINTS)
        axes.annotate(
            fitted(phase, letters),
            (first - 0.5, 1),
            xycoords=("data", "axes fraction"),
            xytext=(2, 4),
            textcoords="offset points",
            color=MUTED,
            fontsize=8.5,
            parse_math=False,
        )
        epochs = [epoch for epoch, _ in members]
        train, validation = ([_plotted(getattr(row, key)) for _, row in members] for key in (name, f"val_{name}"))
        marker = "." if len(members) == 1 else ""
        named = index == 0
        axes.plot(epochs, train, "--", marker=marker, color=MUTED, linewidth=1.2, label="train" if named else None)
        axes.plot(
            epochs, validation, "-", marker=marker, color=BLUE, linewidth=1.8, label="validation" if named else None
        )
        losses = {epoch: formats.finite(row.val_loss) for epoch, row in members}
        known = {epoch: loss for epoch, loss in losses.items() if loss is not None}
        if known:
            best = min(known, key=known.__getitem__)
            axes.plot([best], [validation[epochs.index(best)]], "o", color=BLUE, markersize=6, markeredgecolor="white")
    if name == "loss":
        axes.legend(frameon=False, fontsize=8.5, labelcolor=MUTED, handlelength=2.2)
    return svg(figure)


def fitted(text: str, letters: int) -> str:
    """Returns a text that can be drawn, cut where it has more letters."""
    printable = "".join(letter if letter.isprintable() else "?" for letter in text)
    return printable if len(printable) <= letters else f"{printable[: max(letters - 1, 1)]}…"


def _plotted(value: object) -> float:
    found = formats.finite(value)
    return math.nan if found is None else found


@contextmanager
def drawing() -> Iterator[None]:
    """The figures' style, without warnings on letters that the measuring font lacks: the reader's font has them."""
    import matplotlib

    with warnings.catch_warnings(), matplotlib.rc_context(STYLE):
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        yield


def svg(figure: Figure) -> str:
    buffer = io.BytesIO()
    # Without metadata: it would name the machine's library versions and the time, and differ from run to run.
    figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    return f"data:image/svg+xml;base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"
