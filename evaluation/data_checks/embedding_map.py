"""A map of the examples in two dimensions, as the frozen backbone sees them."""

from __future__ import annotations

import numpy as np

from evaluation.data_checks.check import Examples
from evaluation.data_checks.sampling import at_most
from evaluation.data_checks.space import leading_directions
from finetune.artifacts.embedding_map import EmbeddingMap, MapPoint

# Of more, as many are drawn: a picture holds no more, and they take two seconds.
MOST_POINTS = 1_000
# t-SNE takes no fewer than a few.
FEWEST = 10
# How many neighbours an example is to keep; van der Maaten and Hinton (2008) found 5 to 50 to be much the same.
PERPLEXITY = 30
# Half of scikit-learn's own keep as many neighbours (30 % of the nearest ten, beside 31 %) in half of the time.
STEPS = 500


def embedding_map(examples: Examples, seed: int = 0) -> EmbeddingMap | None:
    """Returns the map by t-SNE (van der Maaten and Hinton 2008), which keeps near what is near; None for too few.

    An example with several labels counts for the one that fewest examples have.

    Args:
        examples: All of a run.
        seed: Draws the examples and starts t-SNE.
    """
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    count = len(examples.paths)
    if count < FEWEST:
        return None
    rows = at_most(np.arange(count), MOST_POINTS, seed)
    directions = leading_directions(examples.features[rows], seed)
    perplexity = min(PERPLEXITY, (len(rows) - 1) / 3)
    # Its threads wait for each other at every step, which takes longer than the steps.
    with threadpool_limits(1):
        if directions.shape[1] > 1 and np.ptp(directions, axis=0).all():
            places = TSNE(2, init="pca", perplexity=perplexity, max_iter=STEPS, random_state=seed).fit_transform(
                directions
            )
        else:
            places = np.column_stack([directions[:, 0], np.zeros(len(rows))])
    rarity = np.argsort(examples.labels.sum(axis=0), kind="stable")
    mistaken = _mistaken(examples)
    points = []
    for row, (x, y) in zip(rows, places, strict=True):
        own = [int(column) for column in rarity if examples.labels[row, column]]
        judged = None if np.isnan(examples.held_out[row]).any() else bool(mistaken[row])
        place = round(float(x), 2), round(float(y), 2)
        points.append(
            MapPoint(
                x=place[0], y=place[1], of_class=own[0] if own else -1, split=str(examples.splits[row]), mistaken=judged
            )
        )
    return EmbeddingMap(classes=list(examples.classes), examples=count, points=points)


def _mistaken(examples: Examples) -> np.ndarray:
    """Returns whether held-out probabilities say something else than the labels, bool [examples]."""
    if examples.one_label:
        return np.asarray(examples.held_out.argmax(axis=1) != examples.labels.argmax(axis=1))
    return np.asarray(((examples.held_out > 0.5) != examples.labels).any(axis=1))
