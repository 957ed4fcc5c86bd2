"""The report's map of examples, three times: by class, by split, and by what was mistaken."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from finetune.artifacts.embedding_map import EmbeddingMap, MapPoint
from pipeline.report.figures import BLUE, MUTED, RULE, drawing, fitted, svg

# Colours that most people can tell apart (Okabe and Ito 2008); what is left is grey.
COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#d55e00", "#56b4e9", "#b8a800")
RED = "#c0392b"
_INCHES, _LETTERS = (4.3, 4.2), 22

# Name, colour and points of what has one colour.
Kind = tuple[str, str, list[MapPoint]]


def map_figures(found: EmbeddingMap) -> dict[str, str]:
    """Draws the map, coloured by class, split and mistake.

    Returns:
        By title a `data:image/svg+xml` URI, in which the points are pixels and the words are text.
    """
    kinds = {"By class": _classes(found), "By split": _splits(found), "By held-out answer": _answers(found)}
    with drawing():
        return {title: _panel(title, list(of_title)) for title, of_title in kinds.items()}


def _classes(found: EmbeddingMap) -> Iterator[Kind]:
    frequent = [number for number, _ in Counter(point.of_class for point in found.points).most_common() if number >= 0]
    shown = frequent[: len(COLOURS)]
    others = [point for point in found.points if point.of_class not in shown]
    if others:
        yield "other or none", RULE, others
    for number, colour in zip(shown, COLOURS, strict=False):
        yield found.classes[number], colour, [point for point in found.points if point.of_class == number]


def _splits(found: EmbeddingMap) -> Iterator[Kind]:
    for split, colour in (("train", MUTED), ("val", COLOURS[1]), ("test", BLUE)):
        yield split, colour, [point for point in found.points if point.split == split]


def _answers(found: EmbeddingMap) -> Iterator[Kind]:
    for name, colour, answer in (("not judged", RULE, None), ("as labelled", BLUE, False), ("mistaken", RED, True)):
        yield name, colour, [point for point in found.points if point.mistaken is answer]


def _panel(title: str, kinds: list[Kind]) -> str:
    from matplotlib.figure import Figure

    figure = Figure(figsize=_INCHES, layout="constrained")
    axes = figure.subplots()
    axes.set_title(title, loc="left", fontweight="bold", fontsize=10)
    axes.set(xticks=[], yticks=[])
    axes.spines["bottom"].set_visible(False)
    for name, colour, points in kinds:
        if points:
            places = [point.x for point in points], [point.y for point in points]
            axes.scatter(*places, s=7, color=colour, linewidths=0, label=f" {fitted(name, _LETTERS)}", rasterized=True)
    legend = figure.legend(loc="outside lower left", ncols=3, frameon=False, fontsize=8.5, labelcolor=MUTED)
    for text in legend.get_texts():
        text.set_parse_math(False)
    return svg(figure)
