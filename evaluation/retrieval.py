"""How far down the list of all texts a picture's own one is, and of all pictures a text's own one. No TensorFlow."""

from __future__ import annotations

import numpy as np

# Of an example that lacks a side, there is nothing to find.
NO_RANK = -1
# Similarities that are computed at a time.
_AT_ONCE = 2**24


def ranks(vectors: np.ndarray, contents: np.ndarray) -> np.ndarray:
    """Ranks what belongs to each side of each example among all that the examples have.

    A picture with several texts has found one when the nearest of them is found, and so for a text with several
    pictures; what occurs more than once is there once. Of those as near as the own one, none counts as nearer.

    Args:
        vectors: float [examples, 2, width] of length 1, of the picture and of the text.
        contents: int [examples, 2], what each is, the same number for the same content; 0 where there is none.

    Returns:
        int32 [examples, 2]: how many texts are nearer to the picture than its own, and how many pictures are nearer to
        the text; NO_RANK where a side is missing.
    """
    found = np.full(contents.shape, NO_RANK, np.int32)
    pairs = np.flatnonzero((contents != 0).all(axis=1))
    if not len(pairs):
        return found
    gallery = [_distinct(vectors[pairs, side], contents[pairs, side]) for side in (0, 1)]
    for side in (0, 1):
        (asked, asking), (answers, answering) = gallery[side], gallery[1 - side]
        found[pairs, side] = _ranks_of(asked, answers, asking, answering)[asking]
    return found


def by_chance(contents: np.ndarray, seed: int = 0) -> np.ndarray:
    """Returns ranks, as `ranks` does, of a model that knows nothing: every order is as likely, for each by itself."""
    found = np.full(contents.shape, NO_RANK, np.int32)
    pairs = np.flatnonzero((contents != 0).all(axis=1))
    draw = np.random.default_rng(seed)
    for side in (0, 1):
        asked, answers = contents[pairs, side], contents[pairs, 1 - side]
        known = np.unique(np.stack([asked, answers], axis=1), axis=0)
        values, counts = np.unique(known[:, 0], return_counts=True)
        right = counts[np.searchsorted(values, asked)]
        # In an order by uniform numbers, where the first of the right ones is, and how many others are before it.
        first = 1 - draw.random(len(pairs)) ** (1 / right)
        found[pairs, side] = draw.binomial(len(np.unique(answers)) - right, first)
    return found


def _distinct(vectors: np.ndarray, contents: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the vectors of each content once, float32 [contents, width], and the place of each example's."""
    _, first, places = np.unique(contents, return_index=True, return_inverse=True)
    return np.asarray(vectors[first], np.float32), places.ravel()


def _ranks_of(asked: np.ndarray, answers: np.ndarray, asking: np.ndarray, answering: np.ndarray) -> np.ndarray:
    """Returns the rank of the nearest right answer of each that is asked; pairs are (asking[i], answering[i])."""
    order = np.argsort(asking, kind="stable")
    asking, answering = asking[order], answering[order]
    found = np.empty(len(asked), np.int32)
    step = max(_AT_ONCE // len(answers), 1)
    for start in range(0, len(asked), step):
        similar = asked[start : start + step] @ answers.T
        inside = slice(*np.searchsorted(asking, (start, start + len(similar))))
        rows, columns = asking[inside] - start, answering[inside]
        right = np.zeros(similar.shape, bool)
        right[rows, columns] = True
        own = np.where(right, similar, -np.inf).max(axis=1, keepdims=True)
        found[start : start + len(similar)] = ((similar > own) & ~right).sum(axis=1)
    return found
