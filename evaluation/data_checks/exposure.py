"""Pictures that show nothing: blank, tiny, too dark or too bright. It looks at pixels alone."""

from __future__ import annotations

import numpy as np

from evaluation.data_checks.check import DataCheck, Examples, Found, Pictures, Suspect

# Weights of red, green and blue in the brightness that people perceive (Finley 2006, the HSP colour model).
_WEIGHTS = np.array([0.299, 0.587, 0.114], np.float32)
# Brightness from 0 to 1. Even the lightest parts of an under-exposed picture, and the darkest of an over-exposed one,
# are beyond these; the darkest of 750 photographs of flowers reaches 0.40, the lightest 0.79.
DARK, LIGHT = 0.22, 0.95
# Parts are those of a thumbnail, all but the most extreme of them.
_PARTS = 0.01, 0.99
# Deviation of the brightness: two or three grey levels of 255. The flattest of the photographs has 0.057.
FLAT = 0.01
# Pixels of the shorter side, and its share of the median of all pictures.
TINY, TINY_SHARE = 16, 0.25
# Thumbnails that are in memory as numbers of four bytes together.
_BLOCK = 1024


def unusable(pictures: Pictures) -> dict[str, np.ndarray]:
    """Returns by reason which pictures it holds for, bool [examples]."""
    darkest, lightest, deviation = np.concatenate(
        [_brightness(block) for block in _blocks(pictures.thumbnails)], axis=1
    )
    side = pictures.sizes.min(axis=1)
    blank = deviation < FLAT
    return {
        "blank: all of it has the same brightness": blank,
        f"under-exposed: its lightest parts have less than {DARK:.0%} of full brightness": (lightest < DARK) & ~blank,
        f"over-exposed: its darkest parts have more than {LIGHT:.0%} of full brightness": (darkest > LIGHT) & ~blank,
        f"tiny: the shorter side has less than {TINY} pixels, or than {TINY_SHARE:.0%} of that of most": (
            side < max(TINY, TINY_SHARE * float(np.median(side)))
        ),
    }


def _blocks(thumbnails: np.ndarray) -> list[np.ndarray]:
    return np.array_split(thumbnails, -(-len(thumbnails) // _BLOCK) or 1)


def _brightness(thumbnails: np.ndarray) -> np.ndarray:
    """Returns the darkest and the lightest part of each, and the deviation, float [3, thumbnails]."""
    squares = (np.arange(256, dtype=np.float32) / 255) ** 2
    bright = np.sqrt(squares[thumbnails] @ _WEIGHTS).reshape(len(thumbnails), -1)
    return np.stack([*np.quantile(bright, _PARTS, axis=1), bright.std(axis=1)])


def _find(examples: Examples) -> Found:
    if examples.pictures is None:
        return Found(None, why_not="the examples are no pictures")
    suspects = [
        Suspect((int(row),), reason)
        for reason, has in unusable(examples.pictures).items()
        for row in np.flatnonzero(has)
    ]
    rows = np.array(sorted({row for suspect in suspects for row in suspect.rows}), int)
    return Found(len(rows) / len(examples.paths), suspects, rows)


EXPOSURE = DataCheck(
    name="exposure",
    label="blank, tiny, dark and bright pictures",
    measures="share of the pictures that are blank, tiny, under- or over-exposed",
    meaning="Fixed rules on a thumbnail of 32 x 32 pixels and the size of the file, in perceived brightness, with "
    f"bounds near those of CleanVision (cleanlab): blank where its deviation is below {FLAT:g}, under-exposed where "
    f"99% of it is below {DARK:g}, over-exposed where 99% is above {LIGHT:g}, tiny where the shorter side has less "
    f"than {TINY} pixels or {TINY_SHARE:.0%} of the median. Nothing in them is random: of 750 photographs of flowers "
    "they name none. They look at no label, so that they do the same for `multi_label`.",
    bound=0.0,
    advice="Look at them, and remove or take again those that show nothing. Where all pictures are dark or bright by "
    "nature, set `data.checks.exposure` to `off`.",
    find=_find,
    drops=True,
)
