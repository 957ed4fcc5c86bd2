"""Faults other than labels and near-duplicates, planted once each in real data, and alarms on clean draws of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from evaluation.data_checks import CHECKS, Examples

# Draws other than those that bounds were chosen on.
DRAWS, FIRST, KEPT = 50, 100, 0.7
CHECKED = (
    "outliers",
    "exposure",
    "languages",
    "boilerplate",
    "leaks",
    "representative",
    "split_shares",
    "class_imbalance",
    "small_classes",
    "class_names",
)
FOREIGN = {
    "French": "Je suis désolé, je ne peux pas venir ce soir parce que je suis très fatigué.",
    "German": "Ich komme heute leider etwas später nach Hause, weil der Zug wieder einmal Verspätung hat.",
    "Polish": "Jutro rano pojedziemy do babci, proszę nie zapomnij o kwiatach i ciastkach.",
    "Russian": "Сегодня я приду домой немного позже, потому что поезд опять опаздывает.",
    "Spanish": "Quiero que vengas mañana a la fiesta con tus amigos, será muy divertido para todos.",
}
# Messages of sms_spam with a passage in Hindi, Kannada, Tamil, Bengali, Malayalam or Telugu, with letters in another
# order, or of words that are none, and a comment of GoEmotions in small capitals, which are letters of their own: by
# their beginnings, as a person has read them.
NOT_ENGLISH = (
    "Ee msg na",
    "Waqt se pehle",
    "Yalru lyfu",
    "wiskey Brandy",
    "Boy; I love u Grl",
    "'Wnevr i wana fal",
    "Oi. Ami parchi",
    "Aslamalaikkum",
    "U need my presnts",
    "Brainless Baby Doll",
    "Reading gud habit",
    "Not yet had..ya sapna",
    "Ultimately tor motive",
    "life alle mone",
    "S..antha num",
    "Pathaya enketa",
    "En chikku nange",
    "Poyyarikatur",
    "Do u konw waht",
    "Nutter. Cutter.",
    "Nowadays people are notixiquating",
    "wow this seems like a huge",
)
FOOTER = "This message and its attachments are confidential and meant for the addressee alone"


def faults_found(pictures: Examples, stranger: Examples, texts: Examples) -> dict[str, bool]:
    """Returns by fault whether its check finds it.

    Args:
        pictures: Photographs of flowers.
        stranger: Pictures of one kind, and one of another.
        texts: In English.
    """
    planted: dict[str, tuple[str, Examples]] = {
        "under-exposed": ("exposure", _thumbnail(pictures, lambda pixels: pixels // 12)),
        "over-exposed": ("exposure", _thumbnail(pictures, lambda pixels: 246 + pixels // 28)),
        "blank": ("exposure", _thumbnail(pictures, lambda pixels: np.full_like(pixels, 90))),
        "tiny": ("exposure", _tiny(pictures)),
        "a picture of another kind": ("outliers", stranger),
        "file size": ("leaks", _larger_files(pictures)),
        "white border": ("leaks", _framed(pictures)),
        "half of 60 test examples of one class": ("split_shares", _mostly_one_class(pictures, 0.5)),
        "three quarters of 40 test examples, by features alone": ("representative", _mostly_one_class(pictures, 0.75)),
        "a hundredth of a class": ("class_imbalance", _hundredth(texts)),
        "a class absent from test": ("small_classes", _absent(pictures)),
        "a class spelled twice": ("class_names", replace(pictures, classes=[*pictures.classes[:-1], "Daisy "])),
        **{f"a {name} message": ("languages", _texts(texts, [message])) for name, message in FOREIGN.items()},
        "a footer in 2 %": ("boilerplate", _texts(texts, _with_footer(texts, len(texts.paths) // 50))),
    }
    return {fault: _alarm(check, examples) for fault, (check, examples) in planted.items()}


def in_english(texts: Examples) -> Examples:
    """Leaves out the messages that a person has found to be in no English."""
    assert texts.texts is not None
    return part(texts, [row for row, text in enumerate(texts.texts) if not text.strip('" ').startswith(NOT_ENGLISH)])


def alarms(examples: Examples) -> dict[str, int]:
    """Counts, by check, the clean draws with an alarm: part of each class, splits shuffled within it.

    Of examples with several labels, the rarest of theirs is the class.
    """
    found = dict.fromkeys(CHECKED, 0)
    rarest = np.where(examples.labels, examples.labels.sum(axis=0), np.inf).argmin(axis=1)
    for draw in range(FIRST, FIRST + DRAWS):
        random = np.random.default_rng(draw)
        splits, rows = examples.splits.copy(), []
        for of_class in (np.flatnonzero(rarest == number) for number in np.unique(rarest)):
            kept = random.choice(of_class, round(KEPT * len(of_class)), replace=False)
            splits[kept] = random.permutation(examples.splits[kept])
            rows += kept.tolist()
        drawn = part(replace(examples, splits=splits), sorted(rows))
        for check in CHECKED:
            found[check] += _alarm(check, drawn)
    return found


def _alarm(check: str, examples: Examples) -> bool:
    value = CHECKS[check].find(examples).value
    return bool(value is not None and value > CHECKS[check].bound)


def part(examples: Examples, rows: Sequence[int] | np.ndarray[Any, Any]) -> Examples:
    """Some of the examples."""
    arrays = {name: getattr(examples, name)[rows] for name in ("splits", "labels", "features", "held_out")}
    pictures, texts = examples.pictures, examples.texts
    if pictures is not None:
        pictures = replace(pictures, **{name: value[rows] for name, value in vars(pictures).items()})
    return replace(
        examples,
        paths=[examples.paths[row] for row in rows],
        pictures=pictures,
        texts=None if texts is None else [texts[row] for row in rows],
        **arrays,
    )


def _pictures(examples: Examples, **changes: np.ndarray[Any, Any]) -> Examples:
    assert examples.pictures is not None
    return replace(examples, pictures=replace(examples.pictures, **changes))


def _thumbnail(examples: Examples, change: Callable[[np.ndarray[Any, Any]], np.ndarray[Any, Any]]) -> Examples:
    assert examples.pictures is not None
    thumbnails = examples.pictures.thumbnails.copy()
    thumbnails[0] = change(thumbnails[0])
    return _pictures(examples, thumbnails=thumbnails)


def _tiny(examples: Examples) -> Examples:
    assert examples.pictures is not None
    sizes = examples.pictures.sizes.copy()
    sizes[0] = 24, 24
    return _pictures(examples, sizes=sizes)


def _larger_files(examples: Examples) -> Examples:
    assert examples.pictures is not None
    files = examples.pictures.bytes
    return _pictures(examples, bytes=np.where(examples.labels[:, 0], files + files.max(), files))


def _framed(examples: Examples) -> Examples:
    assert examples.pictures is not None
    thumbnails, framed = examples.pictures.thumbnails.copy(), examples.labels[:, 0]
    for edge in (np.s_[:, :2], np.s_[:, -2:], np.s_[:, :, :2], np.s_[:, :, -2:]):
        of_framed = thumbnails[framed]
        of_framed[edge] = 255
        thumbnails[framed] = of_framed
    return _pictures(examples, thumbnails=thumbnails)


def _mostly_one_class(examples: Examples, share: float) -> Examples:
    others = np.flatnonzero((examples.splits == "test") & ~examples.labels[:, 0])
    of_class = int(((examples.splits == "test") & examples.labels[:, 0]).sum())
    left = round(of_class * (1 - share) / share)
    return part(examples, np.setdiff1d(np.arange(len(examples.paths)), others[left:]))


def _hundredth(examples: Examples) -> Examples:
    rare = np.flatnonzero(examples.labels[:, -1])
    return part(examples, np.setdiff1d(np.arange(len(examples.paths)), rare[: -(len(rare) // 100)]))


def _absent(examples: Examples) -> Examples:
    return part(examples, np.flatnonzero(~((examples.splits == "test") & examples.labels[:, 0])))


def _with_footer(examples: Examples, count: int) -> list[str]:
    assert examples.texts is not None
    return [f"{text} {FOOTER}" for text in examples.texts[:count]]


def _texts(examples: Examples, planted: list[str]) -> Examples:
    assert examples.texts is not None
    return replace(examples, texts=[*planted, *examples.texts[len(planted) :]])
