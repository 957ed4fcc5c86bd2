"""Examples unlike all others: pictures of another kind, texts about something else."""

from __future__ import annotations

import numpy as np

from evaluation.data_checks.check import DataCheck, Examples, Found, Suspect
from evaluation.data_checks.sampling import at_most
from evaluation.data_checks.tail import highest_by_chance
from evaluation.data_checks.words import LEAST_WORDS, words_of

NEIGHBOURS = 10
# Others that each example is compared with; of more, this many are drawn.
MOST_OTHERS = 5_000
# How often any example of a set without outliers may be taken for one.
LEVEL = 0.01
# Below so many examples, the 97.5th percentile says nothing.
FEWEST = 50
# Examples whose distances to all others are in memory together.
_BLOCK = 512


def neighbour_distances(directions: np.ndarray, seed: int = 0) -> np.ndarray:
    """Returns the distance of each example to its k-th nearest neighbour.

    That is the outlier score of Ramaswamy, Rastogi and Shim (2000), on features brought to length 1, as Sun and others
    (2022, "Out-of-distribution detection with deep nearest neighbors") found best. Time grows with the number of
    examples, memory does not.

    Args:
        directions: float32 [examples, features], of length 1 or 0.
        seed: Draws those that each is compared with, where there are more than MOST_OTHERS.

    Returns:
        float64 [examples], of 0 to 2; the farthest where there are fewer than k others, 0 where there is none.
    """
    count = len(directions)
    others = at_most(np.arange(count), MOST_OTHERS, seed)
    known, place = directions[others], np.full(count, -1)
    place[others] = np.arange(len(others))
    found = np.zeros(count)
    for begin in range(0, count, _BLOCK):
        rows = np.arange(begin, min(begin + _BLOCK, count))
        cosines = directions[rows] @ known.T
        itself = place[rows]
        cosines[np.flatnonzero(itself >= 0), itself[itself >= 0]] = np.inf
        # The first of those that were drawn is the example itself, where it is among them.
        nearest = np.where(itself >= 0, NEIGHBOURS, NEIGHBOURS - 1)
        far = np.minimum(nearest, len(others) - 1)
        ordered = np.partition(-cosines, np.unique(far), axis=1)
        cosine = -ordered[np.arange(len(rows)), far]
        found[rows] = np.sqrt(np.maximum(2 - 2 * np.where(np.isinf(cosine), 1, cosine), 0))
    return found


def _find(examples: Examples) -> Found:
    if len(examples.paths) < FEWEST:
        return Found(None, why_not=f"{len(examples.paths)} examples are too few to say what is usual")
    distances = neighbour_distances(examples.directions)
    judged = distances > 0
    if examples.texts is not None:
        judged &= np.array([len(words_of(text)) for text in examples.texts]) >= LEAST_WORDS
    limit = np.exp(highest_by_chance(np.log(distances[judged]), LEVEL))
    far = np.flatnonzero(judged & (distances > limit))
    far = far[np.argsort(-distances[far], kind="stable")]
    reason = "at a distance of {:.2f} from others, where {:.2f} is the most that chance gives"
    suspects = [Suspect((int(row),), reason.format(distances[row], limit)) for row in far]
    return Found(len(far) / len(distances), suspects, far)


OUTLIERS = DataCheck(
    name="outliers",
    label="outliers",
    measures="share of the examples that are unlike all others",
    meaning=f"The distance to the {NEIGHBOURS}th nearest neighbour (Ramaswamy, Rastogi and Shim 2000) in frozen "
    "features of length 1 (Sun and others 2022), beside what chance gives: a log-normal tail fitted to median and "
    "90th or 97.5th percentile, whichever makes it heavier, at a level of "
    f"{LEVEL:.0%} for all examples together. A text of fewer than {LEAST_WORDS} words is not judged: it differs by "
    f"that alone. Up to a fortieth of the examples may be outliers; {NEIGHBOURS} or more that are alike are no "
    "outliers, and where pictures differ much anyway, few can be told. It looks at no label, so that it does the same "
    "for `multi_label`.",
    bound=0.0,
    advice="Look at them: remove what is not of the kind that the model will be shown, and keep rare examples that "
    "are.",
    find=_find,
    drops=True,
)
