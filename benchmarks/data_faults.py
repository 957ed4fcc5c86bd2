"""Faults other than labels and near-duplicates, planted once each in real data, and alarms on clean draws of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from evaluation.data_checks import CHECKS, Examples

DRAWS, KEPT = 50, 0.7
CHECKED = (
    "outliers",
    "exposure",
    "languages",
    "boilerplate",
    "leaks",
    "representative",
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
FOOTER = "This message and its attachments are confidential and meant for the addressee alone"


def faults_found(pictures: Examples, texts: Examples) -> dict[str, Any]:
    """Returns by fault whether its check finds it, and how many of the clean draws each check takes for faulty."""
    planted: dict[str, tuple[str, Examples]] = {
        "under-exposed": ("exposure", _thumbnail(pictures, lambda pixels: pixels // 12)),
        "over-exposed": ("exposure", _thumbnail(pictures, lambda pixels: 246 + pixels // 28)),
        "blank": ("exposure", _thumbnail(pictures, lambda pixels: np.full_like(pixels, 90))),
        "tiny": ("exposure", _tiny(pictures)),
        "file size": ("leaks", _larger_files(pictures)),
        "white border": ("leaks", _framed(pictures)),
        "half of 60 test examples of one class": ("representative", _mostly_one_class(pictures, 0.5)),
        "three quarters of 40 test examples of one class": ("representative", _mostly_one_class(pictures, 0.75)),
        "a hundredth of a class": ("class_imbalance", _hundredth(texts)),
        "a class absent from test": ("small_classes", _absent(pictures)),
        "a class spelled twice": ("class_names", replace(pictures, classes=[*pictures.classes[:-1], "Daisy "])),
        **{f"a {name} message": ("languages", _texts(texts, [message])) for name, message in FOREIGN.items()},
        "a footer in 2 %": ("boilerplate", _texts(texts, _with_footer(texts, len(texts.paths) // 50))),
    }
    return {
        "found": {fault: _alarm(check, examples) for fault, (check, examples) in planted.items()},
        "draws": DRAWS,
        "alarms_on_pictures": _alarms(pictures),
        "alarms_on_texts": _alarms(texts),
    }


def _alarms(examples: Examples) -> dict[str, int]:
    """Counts, by check, the draws with an alarm: some of the examples, their splits shuffled."""
    alarms = dict.fromkeys(CHECKED, 0)
    for draw in range(DRAWS):
        random = np.random.default_rng(draw)
        count = len(examples.paths)
        rows = random.choice(count, round(KEPT * count), replace=False)
        drawn = _only(replace(examples, splits=random.permutation(examples.splits)), rows)
        for check in CHECKED:
            alarms[check] += _alarm(check, drawn)
    return alarms


def _alarm(check: str, examples: Examples) -> bool:
    value = CHECKS[check].find(examples).value
    return bool(value is not None and value > CHECKS[check].bound)


def _only(examples: Examples, rows: np.ndarray[Any, Any]) -> Examples:
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
    return _only(examples, np.setdiff1d(np.arange(len(examples.paths)), others[left:]))


def _hundredth(examples: Examples) -> Examples:
    rare = np.flatnonzero(examples.labels[:, -1])
    return _only(examples, np.setdiff1d(np.arange(len(examples.paths)), rare[: -(len(rare) // 100)]))


def _absent(examples: Examples) -> Examples:
    return _only(examples, np.flatnonzero(~((examples.splits == "test") & examples.labels[:, 0])))


def _with_footer(examples: Examples, count: int) -> list[str]:
    assert examples.texts is not None
    return [f"{text} {FOOTER}" for text in examples.texts[:count]]


def _texts(examples: Examples, planted: list[str]) -> Examples:
    assert examples.texts is not None
    return replace(examples, texts=[*planted, *examples.texts[len(planted) :]])
