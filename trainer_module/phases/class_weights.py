"""How much each class counts in the loss. No TensorFlow here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from finetune.errors import DataError, did_you_mean


def class_weights(
    wanted: Literal["balanced"] | Mapping[str, float] | None, names: Sequence[str], counts: Sequence[int]
) -> list[float] | None:
    """Decides how much each class counts.

    `balanced` is `examples / (classes * examples of the class)` (King and Zeng 2001), which keeps the mean weight of
    the train split at 1.

    Args:
        wanted: `training.class_weights`; classes that a mapping leaves out count 1.
        names: Of the classes, in the order of the labels.
        counts: Examples of each class in the train split.

    Raises:
        DataError: A name is none of the classes, or a class to balance has no example.
    """
    if wanted is None:
        return None
    if wanted == "balanced":
        absent = [name for name, count in zip(names, counts, strict=True) if not count]
        if absent:
            raise DataError(
                f"training.class_weights: got 'balanced'; {', '.join(absent)} has no example in train. Give weights "
                "by name, or examples of every class."
            )
        return [sum(counts) / (len(counts) * count) for count in counts]
    unknown = [name for name in wanted if name not in names]
    if unknown:
        raise DataError(
            f"training.class_weights: got {unknown[0]!r}; expected names of classes: {', '.join(names)}."
            + did_you_mean(unknown[0], names)
        )
    return [wanted.get(name, 1.0) for name in names]
