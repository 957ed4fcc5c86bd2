"""Where candidate and champion differ: how often, in which slices the candidate is worse, and which examples to show.

Of two models, an example speaks for the one that makes fewer mistakes about it: of one label the one that is right, of
several the one that has more of them right. A slice counts as worse by a one-sided sign test of its examples that speak
for either (of one label: McNemar's exact test, 1947), corrected over all slices by Holm 1979, "A simple sequentially
rejective multiple test procedure": where both models are equally good everywhere, some slice is named in 5 % of test
splits at most.

Slices are classes, values of columns, and clusters that are found: k-means of the mean of what both models answer. Of
the candidate's answers alone, a cluster of those that it is unsure of would find it worse than an equally good
champion, which need not be unsure of the same ones.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from evaluation.evidence import CANDIDATE, CHAMPION, TestSet
from evaluation.predictions import part_of
from finetune.artifacts.disagreement import Disagreement, SliceContrast
from transforms.features import GROUP

LEVEL = 0.05
SLICES_KEPT = 100
# Smaller clusters could hardly be told from noise, and more than a dozen are not looked at.
CLUSTER_EXAMPLES, CLUSTERS = 25, 12
CLUSTERED = 20_000
SEED = 1
# Classes of a cluster that its name tells.
NAMED = 2
EXAMPLES_OF_A_SLICE, SLICES_WITH_EXAMPLES, EXAMPLES_ELSEWHERE = 5, 4, 10


@dataclass(frozen=True)
class Contrast:
    """What two models say about the same examples.

    Attributes:
        gain: int [examples], by how many mistakes fewer the candidate makes; negative where it makes more.
        slices: Each with the examples that are in it, bool [examples]; those where the candidate is worse first.
    """

    gain: np.ndarray
    slices: list[tuple[SliceContrast, np.ndarray]]

    def summary(self) -> Disagreement:
        """What is kept of it."""
        return Disagreement(
            examples=len(self.gain),
            better=int((self.gain > 0).sum()),
            worse=int((self.gain < 0).sum()),
            slices=[part for part, _ in self.slices[:SLICES_KEPT]],
        )


def contrast(test_set: TestSet) -> Contrast | None:
    """Compares candidate and champion, slice by slice; None where there is no champion."""
    if CHAMPION not in test_set.probabilities:
        return None
    candidate, champion = test_set.of(CANDIDATE), test_set.of(CHAMPION)
    gain = champion.mistakes - candidate.mistakes
    if test_set.learned is not None:
        # What the champion learned from speaks for neither.
        gain = np.where(test_set.learned, 0, gain)
    found = [(name, kind, members) for name, kind, members in _slices(test_set) if members.any()]
    chances = np.array([_chance(gain[members], part_of(candidate.groups, members)) for *_, members in found])
    slices = [
        (
            SliceContrast(
                name=name,
                kind=kind,
                examples=int(members.sum()),
                better=int((gain[members] > 0).sum()),
                worse=int((gain[members] < 0).sum()),
                chance=float(chance),
                is_worse=bool(chance < LEVEL),
            ),
            members,
        )
        for (name, kind, members), chance in zip(found, holm(chances), strict=True)
    ]
    return Contrast(gain, sorted(slices, key=lambda each: (each[0].chance, each[0].better - each[0].worse)))


def holm(chances: np.ndarray) -> np.ndarray:
    """Corrects p-values [tests] for their number: each is compared with the level as if it were the only one."""
    order = np.argsort(chances, kind="stable")
    grown = chances[order] * np.arange(len(chances), 0, -1)
    corrected = np.empty_like(grown)
    corrected[order] = np.minimum(np.maximum.accumulate(grown), 1.0)
    return corrected


def examples_to_show(found: Contrast, sure: np.ndarray) -> list[tuple[int, str]]:
    """Picks examples that the models differ about, each with the slice that it is shown for, or "".

    Args:
        found: What they say.
        sure: float [examples], how sure the candidate is; the surest come first.

    Returns:
        Numbers of examples, none twice: of the slices where the candidate is worse, then of all others, where the
        champion is better and where the candidate is.
    """
    order = np.argsort(-sure, kind="stable")
    chosen: dict[int, str] = {}

    def pick(members: np.ndarray, wanted: int, name: str) -> None:
        fitting = (int(number) for number in order if members[number])
        fresh = [number for number in fitting if number not in chosen][:wanted]
        chosen.update(dict.fromkeys(fresh, name))

    for part, members in [each for each in found.slices if each[0].is_worse][:SLICES_WITH_EXAMPLES]:
        pick(members & (found.gain < 0), EXAMPLES_OF_A_SLICE, part.name)
    pick(found.gain < 0, EXAMPLES_ELSEWHERE, "")
    pick(found.gain > 0, EXAMPLES_ELSEWHERE, "")
    return list(chosen.items())


def _chance(gain: np.ndarray, groups: np.ndarray | None) -> float:
    """How probable at least as many examples against the candidate are, if it is as good as the champion.

    Examples of one group go together: each group speaks once, for the model that does better on it.
    """
    from scipy.stats import binom

    if groups is not None:
        gain = np.bincount(np.unique(groups, return_inverse=True)[1], weights=np.sign(gain))
    better, worse = int((gain > 0).sum()), int((gain < 0).sum())
    return float(binom.sf(worse - 1, better + worse, 0.5))


def _slices(test_set: TestSet) -> Iterator[tuple[str, str, np.ndarray]]:
    for column in ("label", *(name for name in test_set.columns if name not in ("label", GROUP))):
        for (value,) in test_set.combinations([column]):
            members = test_set.members({column: value})
            if column == "label":
                yield f"class {value}", "class", members
            else:
                yield f"{column} {value or '(empty)'}", "column", members
    answers = seen_alike(test_set)
    cluster = clusters(answers)
    for number in range(cluster.max() + 1):
        yield _name_of(answers[cluster == number], test_set.classes), "cluster", cluster == number


def seen_alike(test_set: TestSet) -> np.ndarray:
    """What both models answer in the mean, float [examples, classes]: neither is favoured by a cluster of it."""
    return (np.asarray(test_set.probabilities[CANDIDATE]) + test_set.probabilities[CHAMPION]) / 2


def clusters(answers: np.ndarray) -> np.ndarray:
    """Groups examples by their answers, float [examples, classes]; returns int [examples], the cluster of each."""
    count = min(len(answers) // CLUSTER_EXAMPLES, CLUSTERS)
    if count < 2:
        return np.zeros(len(answers), dtype=int)
    # A second to load, which a check of a config has no use for.
    from sklearn.cluster import KMeans

    random = np.random.default_rng(SEED)
    few = random.choice(len(answers), CLUSTERED, replace=False) if len(answers) > CLUSTERED else slice(None)
    model = KMeans(count, n_init=2, random_state=SEED).fit(answers[few].astype(np.float64))
    return np.asarray(model.predict(answers.astype(np.float64)))


def _name_of(answers: np.ndarray, classes: Sequence[str]) -> str:
    """What the examples of a cluster are answered, such as `answers like rose 62%, tulip 30%`."""
    shares = answers.mean(axis=0)
    first = [place for place in np.argsort(-shares, kind="stable")[:NAMED] if shares[place] >= 0.05]
    return "answers like " + (", ".join(f"{classes[place]} {shares[place]:.0%}" for place in first) or "no class")
