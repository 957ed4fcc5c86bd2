"""Texts in another script or another language, and passages that many texts share."""

from __future__ import annotations

import unicodedata
import zlib
from collections import Counter
from collections.abc import Sequence

import numpy as np

from evaluation.data_checks.check import DataCheck, Examples, Found, Suspect
from evaluation.data_checks.outliers import FEWEST, LEVEL
from evaluation.data_checks.sampling import at_most
from evaluation.data_checks.tail import highest_by_chance, middle_and_deviation
from evaluation.data_checks.words import LEAST_WORDS, words_of

# A script that fewer texts than this are in is none that the set is meant to have.
RARE_SCRIPT = 0.05
# Words of a passage, and how many texts have to share it.
PASSAGE, LEAST_TEXTS = 12, 3
# Share of the texts.
SHARED = 0.01
# Of more texts, as many are drawn.
MOST_TEXTS = 20_000
# Chinese and Japanese use both.
_JOINED = {"HIRAGANA": "CJK", "KATAKANA": "CJK", "KATAKANA-HIRAGANA": "CJK", "IDEOGRAPHIC": "CJK"}
_HALVES = 2
# Trigrams are counted in as many cells, which are known to few languages at once.
_CELLS = 2**16


def scripts_of(texts: Sequence[str]) -> list[str]:
    """Returns the script, as Unicode names it, that most letters of each text are in; empty without letters."""
    known: dict[str, str] = {}
    found = []
    for text in texts:
        counts = Counter[str]()
        for letter, count in Counter(unicodedata.normalize("NFKC", text)).items():
            if letter.isalpha():
                if letter not in known:
                    first = unicodedata.name(letter, "UNKNOWN").split()[0]
                    known[letter] = _JOINED.get(first, first)
                counts[known[letter]] += count
        found.append(counts.most_common(1)[0][0] if counts else "")
    return found


def strangeness(texts: Sequence[str]) -> np.ndarray:
    """Returns how much more of a text than of most is as in another language, in deviations.

    That is the sum of two facts, each brought to median 0 and deviation 1: how unlikely three letters in a row are
    among those of the other half of the texts (Dunning 1994, "Statistical identification of language", with one
    language), and how many of its words no other text has. Both are weighed by the root of what they are measured on,
    so that long texts and short ones vary alike.

    Returns:
        float [texts]; NaN for one with fewer than LEAST_WORDS words, or fewer than three letters.
    """
    words = [words_of(text) for text in texts]
    letters, unknown = _unlikely_letters(words), _unknown_words(words)
    judged = np.array([len(each) >= LEAST_WORDS for each in words]) & ~np.isnan(letters)
    found = np.full(len(texts), np.nan)
    if judged.any():
        found[judged] = sum(_in_deviations(each[judged]) for each in (letters, unknown))
    return found


def _in_deviations(values: np.ndarray) -> np.ndarray:
    middle, deviation = middle_and_deviation(values)
    return (values - middle) / (deviation or np.inf)


def _unlikely_letters(words: Sequence[list[str]], seed: int = 0) -> np.ndarray:
    """Returns by how many nats a letter most texts differ from each, times the root of its letters, float [texts]."""
    cells = [_trigrams(each) for each in words]
    half = np.random.default_rng(seed).permutation(len(words)) % _HALVES
    costs = np.full(len(words), np.nan)
    for number in range(_HALVES):
        others = [cells[row] for row in np.flatnonzero(half != number)]
        counts = np.bincount(np.concatenate([np.zeros(0, int), *others]), minlength=_CELLS)
        of_cell = np.log(counts.sum() + _CELLS) - np.log(counts + 1)
        for row in np.flatnonzero(half == number):
            if len(cells[row]):
                costs[row] = of_cell[cells[row]].mean()
    if np.isnan(costs).all():
        return costs
    return (costs - np.nanmedian(costs)) * np.sqrt([len(each) for each in cells])


def _trigrams(words: list[str]) -> np.ndarray:
    """Returns the cell of each three letters in a row, int; of a word, its beginning and its end count as letters."""
    codes = np.array([ord(letter) for letter in f" {' '.join(words)} "] if words else [], np.int64)
    # Each letter is a digit in a number system that wraps around.
    return (codes[:-2] * 1_000_003 + codes[1:-1] * 8_191 + codes[2:] * 31) % 65_521 if len(codes) > 2 else codes[:0]


def _unknown_words(words: Sequence[list[str]]) -> np.ndarray:
    """Returns how many words of each text no other has beyond what most have, in deviations of a binomial distribution.

    A text that is there twice counts as one.
    """
    texts_with = Counter(word for each in {tuple(each) for each in words} for word in set(each))
    unknown = np.array([sum(texts_with[word] == 1 for word in each) for each in words])
    count = np.array([len(each) for each in words])
    share = (unknown.sum() + 1) / (count.sum() + 2)
    return (unknown - count * share) / np.sqrt(np.maximum(count, 1) * share * (1 - share))


def passages(texts: Sequence[str]) -> list[tuple[str, list[int]]]:
    """Returns passages of PASSAGE words, and the numbers of the texts that have each; the most frequent first.

    Of passages that the same texts share, the first stands for all.
    """
    where: dict[int, list[int]] = {}
    for row, text in enumerate(texts):
        words = text.casefold().split()
        for key in {_digest(words[begin : begin + PASSAGE]) for begin in range(len(words) - PASSAGE + 1)}:
            where.setdefault(key, []).append(row)
    often = {key: rows for key, rows in where.items() if len(rows) >= LEAST_TEXTS}
    found: list[tuple[str, list[int]]] = []
    covered: set[int] = set()
    for rows in sorted(often.values(), key=lambda rows: (-len(rows), rows)):
        if covered.issuperset(rows):
            continue
        covered.update(rows)
        words = texts[rows[0]].split()
        begins = (begin for begin in range(len(words)) if _is_in(often, words, begin, rows))
        begin = next(begins)
        found.append((" ".join(words[begin : begin + PASSAGE]), rows))
    return found


def _is_in(often: dict[int, list[int]], words: list[str], begin: int, rows: list[int]) -> bool:
    return often.get(_digest([word.casefold() for word in words[begin : begin + PASSAGE]])) == rows


def _digest(words: list[str]) -> int:
    data = " ".join(words).encode("utf-8", "surrogatepass")
    return zlib.crc32(data) | zlib.adler32(data) << 32


def _find_languages(examples: Examples) -> Found:
    if examples.texts is None:
        return Found(None, why_not="the examples are no texts")
    if len(examples.texts) < FEWEST:
        return Found(None, why_not=f"{len(examples.texts)} texts are too few to say what is usual")
    rows = at_most(np.arange(len(examples.texts)), MOST_TEXTS)
    texts = [examples.texts[row] for row in rows]
    scripts = scripts_of(texts)
    of_script = Counter(filter(None, scripts))
    rare = {script for script, count in of_script.items() if count < RARE_SCRIPT * len(texts)}
    suspects = [
        Suspect((int(row),), f"most letters are {script.title()}, as in {of_script[script]:,} of {len(texts):,} texts")
        for row, script in zip(rows, scripts, strict=True)
        if script in rare
    ]
    strange = strangeness(texts)
    strange[[script in rare for script in scripts]] = np.nan
    judged = strange[~np.isnan(strange)]
    limit = highest_by_chance(judged, LEVEL) if len(judged) >= FEWEST else np.inf
    far = [place for place in np.argsort(-strange, kind="stable") if strange[place] > limit]
    reason = "its words and letters are as of another language: {:.1f} deviations from most, by chance at most {:.1f}"
    suspects += [Suspect((int(rows[place]),), reason.format(strange[place], limit)) for place in far]
    named = np.array([suspect.rows[0] for suspect in suspects], int)
    return Found(len(suspects) / len(texts), suspects, named)


def _find_boilerplate(examples: Examples) -> Found:
    if examples.texts is None:
        return Found(None, why_not="the examples are no texts")
    rows = at_most(np.arange(len(examples.texts)), MOST_TEXTS)
    found = passages([examples.texts[row] for row in rows])
    shares = [len(sharing) / len(rows) for _, sharing in found]
    suspects = [
        Suspect(tuple(int(rows[place]) for place in sharing[:4]), f"{len(sharing):,} texts have: {passage}")
        for (passage, sharing), share in zip(found, shares, strict=True)
        if share > SHARED
    ]
    return Found(max(shares, default=0.0), suspects)


LANGUAGES = DataCheck(
    name="languages",
    label="texts in another script or language",
    measures="share of the texts whose script or language is not that of the others",
    meaning=f"A script that most letters of fewer than {RARE_SCRIPT:.0%} of the texts are in (Unicode's names, which "
    f"is not random); and, of texts with at least {LEAST_WORDS} words, how unlikely three letters in a row are among "
    "those of the other half of the texts (Dunning 1994), and how many words no other text has, added up and held "
    "beside what chance gives: a normal tail fitted as that of `outliers`, at a level of "
    f"{LEVEL:.0%} for all texts together. Where words are run together or made up, it takes them for another language; "
    "and of one that a hundredth of the texts are in, it knows the words. It looks at no label, so that it does the "
    "same for `multi_label`.",
    bound=0.0,
    advice="Look at them: remove what the model will not be shown, or add more of that language, and a backbone that "
    "knows it.",
    find=_find_languages,
    drops=True,
)

BOILERPLATE = DataCheck(
    name="boilerplate",
    label="boilerplate",
    measures="share of the texts that have the same passage",
    meaning=f"The passage of {PASSAGE} words that most texts have, whatever their case, and at least {LEAST_TEXTS} "
    "do. A count, in which nothing is random. It looks at no label, so that it does the same for `multi_label`.",
    bound=SHARED,
    advice="Take headers, footers and signatures out of the texts: they take up the words that the model reads, and "
    "can tell it the label.",
    find=_find_boilerplate,
)
