"""Examples that are nearly the same: pictures by a perceptual hash, texts by MinHash, confirmed on frozen features."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from functools import lru_cache
from typing import Protocol

import numpy as np

from evaluation.data_checks.check import TEST, TRAIN, VAL, DataCheck, Examples, Found, Pictures, Suspect

# A perceptual hash has the signs of this many frequencies each way.
_FREQUENCIES = 8
# Bits of 64 in which hashes of the same picture may differ, when it was resized, compressed again or cropped a little.
MAX_BITS = 14
# Frozen features are, beside that, more alike than those of this share of pairs that do not look the same. What cosine
# that is depends on the backbone: with EfficientNet-Lite0, photographs of flowers have 0.71.
MORE_ALIKE_THAN = 0.995
_SAMPLED_PAIRS = 20_000
# Of the letters of a text, overlapping pieces of this length are compared.
SHINGLE = 5
# Share of the pieces of two texts that both have.
LEAST_SHARED = 0.7
_BLOCK = 2048


@lru_cache(maxsize=1)
def near_duplicates(examples: Examples) -> np.ndarray:
    """Finds pairs of examples that are nearly the same; what is repeated to the last pixel or letter counts once.

    Returns:
        int [pairs, 2], the smaller number first.
    """
    if examples.pictures is not None:
        first, repeated = _first_of_each([each.tobytes() for each in examples.pictures.thumbnails])
        looks: Looks = PictureLooks(hashes(examples.pictures)[first])
    elif examples.texts is not None:
        plain = [_plain(text) for text in examples.texts]
        first, repeated = _first_of_each(plain)
        looks = TextLooks([shingles(plain[row]) for row in first])
    else:
        return np.zeros((0, 2), int)
    sample = np.random.default_rng(1).integers(0, len(first), (_SAMPLED_PAIRS, 2))
    others = first[sample[~looks.alike(sample)]]
    least = np.quantile(cosines(examples, others), MORE_ALIKE_THAN) if len(others) else -1.0
    blocks = [repeated, *(first[pairs] for pairs in looks.pairs())]
    return np.concatenate([pairs[cosines(examples, pairs) >= least] for pairs in blocks])


def _first_of_each(looks: Sequence[Hashable]) -> tuple[np.ndarray, np.ndarray]:
    """Returns the numbers of the first of each kind, int [kinds], and for each other the pair with its first."""
    first: dict[Hashable, int] = {}
    pairs = [(first.setdefault(look, row), row) for row, look in enumerate(looks)]
    return np.array(list(first.values())), np.array([pair for pair in pairs if pair[0] != pair[1]], int).reshape(-1, 2)


def cosines(examples: Examples, pairs: np.ndarray) -> np.ndarray:
    """Returns the cosine of the features of each pair, float [pairs]."""
    found = np.empty(len(pairs))
    for start in range(0, len(pairs), _BLOCK):
        one, other = pairs[start : start + _BLOCK].T
        found[start : start + _BLOCK] = np.sum(examples.directions[one] * examples.directions[other], axis=1)
    return found


def hashes(pictures: Pictures) -> np.ndarray:
    """Returns the perceptual hash of each picture, bool [pictures, 64] (Zauner 2010, section 3.2.1).

    A bit says whether a low frequency of the discrete cosine transform is above the median of all.
    """
    from scipy.fft import dctn

    found = [np.zeros((0, _FREQUENCIES**2), bool)]
    for start in range(0, len(pictures.thumbnails), _BLOCK):
        block = pictures.thumbnails[start : start + _BLOCK].astype(np.float32)
        grey = block @ np.array([0.299, 0.587, 0.114], np.float32)
        low = dctn(grey, axes=(1, 2), norm="ortho")[:, :_FREQUENCIES, :_FREQUENCIES].reshape(len(grey), -1)
        found.append(low > np.median(low[:, 1:], axis=1, keepdims=True))
    return np.concatenate(found)


class Looks(Protocol):
    """What examples look like, by which those that may be nearly the same are found."""

    def pairs(self) -> Iterator[np.ndarray]:
        """Yields all pairs that look alike, a part at a time, int [pairs, 2], the smaller number first."""

    def alike(self, pairs: np.ndarray) -> np.ndarray:
        """Says of each pair, int [pairs, 2], whether it looks alike, bool [pairs]."""


class PictureLooks:
    """Pictures by their hashes, of which MAX_BITS may differ; each with each, block by block."""

    def __init__(self, bits: np.ndarray):
        """Takes what `hashes` gives."""
        self._signs = np.where(bits, 1, -1).astype(np.float32)
        self._least = bits.shape[1] - 2 * MAX_BITS

    def pairs(self) -> Iterator[np.ndarray]:
        """See `Looks`."""
        signs = self._signs
        for start in range(0, len(signs), _BLOCK):
            for other in range(start, len(signs), _BLOCK):
                products = signs[start : start + _BLOCK] @ signs[other : other + _BLOCK].T
                found = np.argwhere(products >= self._least) + np.array([start, other])
                yield found[found[:, 0] < found[:, 1]]

    def alike(self, pairs: np.ndarray) -> np.ndarray:
        """See `Looks`."""
        alike: np.ndarray = np.sum(self._signs[pairs[:, 0]] * self._signs[pairs[:, 1]], axis=1) >= self._least
        return alike


class TextLooks:
    """Texts by their pieces, of which two share LEAST_SHARED; MinHash (Broder 1997) spares comparing each with each."""

    def __init__(self, pieces: Sequence[frozenset[bytes]]):
        """Takes what `shingles` gives of each text."""
        self._pieces = pieces

    def pairs(self) -> Iterator[np.ndarray]:
        """See `Looks`."""
        from datasketch import MinHash, MinHashLSH

        index = MinHashLSH(threshold=LEAST_SHARED - 0.1, num_perm=128)
        sketches = MinHash.generator([sorted(each) for each in self._pieces], num_perm=128, seed=1)
        for row, sketch in enumerate(sketches):
            candidates = np.array([(other, row) for other in sorted(index.query(sketch))], int).reshape(-1, 2)
            yield candidates[self.alike(candidates)]
            index.insert(row, sketch)

    def alike(self, pairs: np.ndarray) -> np.ndarray:
        """See `Looks`."""
        both = ((self._pieces[one], self._pieces[other]) for one, other in pairs.tolist())
        return np.array([len(a & b) >= LEAST_SHARED * len(a | b) for a, b in both], bool)


def _plain(text: str) -> str:
    """Returns a text without regard to case and spaces."""
    return " ".join(text.casefold().split())


def shingles(plain: str) -> frozenset[bytes]:
    """Returns the pieces of a text; all of a shorter one."""
    count = max(1, len(plain) - SHINGLE + 1)
    return frozenset(plain[start : start + SHINGLE].encode("utf-8", "surrogatepass") for start in range(count))


def groups(examples: Examples) -> list[np.ndarray]:
    """Returns sets of examples that hang together by pairs, the largest first, each as sorted numbers."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    pairs, count = near_duplicates(examples), len(examples.paths)
    if not len(pairs):
        return []
    links = coo_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(count, count))
    _, of_each = connected_components(links, directed=False)
    order = np.argsort(of_each, kind="stable")
    found = np.split(order, np.flatnonzero(np.diff(of_each[order])) + 1)
    return sorted((each for each in found if len(each) > 1), key=lambda each: (-len(each), each[0]))


def _find_within(examples: Examples) -> Found:
    """Of what is nearly the same within a split, the first may stay."""
    suspects, drop = [], []
    for group in groups(examples):
        for split in (TRAIN, VAL, TEST):
            members = group[examples.splits[group] == split]
            if len(members) > 1:
                suspects.append(_suspect(examples, members, f"nearly the same, {len(members)} times in {split}"))
                drop += members[1:].tolist()
    return Found(len(drop) / len(examples.paths), suspects, np.array(drop, int))


def _find_across(examples: Examples) -> Found:
    """What is held out must not be trained on: train gives way to val and test, val to test."""
    order = {TRAIN: 0, VAL: 1, TEST: 2}
    place = np.array([order[split] for split in examples.splits])
    suspects, drop, seen = [], [], 0
    for group in groups(examples):
        within = place[group]
        if within.min() == within.max():
            continue
        names = sorted(set(examples.splits[group]), key=order.__getitem__)
        suspects.append(_suspect(examples, group, f"nearly the same in {' and '.join(names)}"))
        drop += group[within < within.max()].tolist()
        seen += int(np.sum(within > within.min()))
    held_out = len(examples.rows(VAL, TEST))
    return Found(seen / max(1, held_out), suspects, np.array(drop, int))


def _suspect(examples: Examples, members: np.ndarray, reason: str) -> Suspect:
    labels = list(dict.fromkeys(examples.label(row) for row in members))
    if len(labels) > 1:
        reason += f", and labelled {' and '.join(each or 'nothing' for each in labels)}"
    return Suspect(tuple(members.tolist()), reason)


_MEANING = (
    "Pictures whose perceptual hashes (64 bits of a discrete cosine transform; Zauner 2010) differ in at most "
    f"{MAX_BITS} bits, or texts that share {LEAST_SHARED:.0%} of their pieces of {SHINGLE} letters (found by MinHash; "
    "Broder 1997), and whose frozen features are more alike than those of "
    f"{MORE_ALIKE_THAN:.1%} of other pairs. It looks at no label, so that it does the same for `multi_label`."
)
WITHIN = DataCheck(
    name="near_duplicates",
    label="near-duplicates within a split",
    measures="share of the examples that nearly repeat an earlier one of their split",
    meaning=_MEANING,
    bound=0.05,
    advice="Repeated examples count several times: keep one of each, or set it to drop.",
    find=_find_within,
    drops=True,
)
ACROSS = DataCheck(
    name="duplicates_across_splits",
    label="near-duplicates across splits",
    measures="share of the val and test examples that nearly repeat one that is trained on",
    meaning=_MEANING,
    bound=0.0,
    advice="What the model has seen in training it does not have to understand: set it to drop, which leaves the "
    "examples of train (or val, where test has the same) out of training, or keep what belongs together in one split.",
    find=_find_across,
    drops=True,
)
