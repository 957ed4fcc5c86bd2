"""Which examples of spans before the window are trained on once more, so that what they taught is not forgotten."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Replay:
    """How much of earlier spans is trained on.

    Whether an example is replayed is decided by its content, so that it is the same in every run, and one that is
    replayed at a small share is at each larger one.

    Attributes:
        share: Of the earlier examples of a split; None where a number is given.
        reservoir: How many of those of train, a uniform sample of all that came so far; val gets the same share.
    """

    share: float | None = None
    reservoir: int | None = None

    def chosen(self, train: Mapping[str, tuple[str, ...]], val: Mapping[str, tuple[str, ...]]) -> set[str]:
        """Returns the contents that are replayed; of each class, one of train at least, unless none is asked for.

        Args:
            train: Labels of each content of the split in earlier spans, by its hex SHA-256.
            val: The same; test examples are never replayed.
        """
        share = self.share if self.share is not None else min(1.0, (self.reservoir or 0) / max(len(train), 1))
        found: set[str] = set()
        for contents, at_least in ((train, bool(share)), (val, False)):
            ranked = sorted(contents, key=lambda content: (_position(content), content))
            below = sum(_position(content) < share for content in ranked)
            found.update(ranked[: below if self.reservoir is None else round(share * len(ranked))])
            seen = {label for content in found & contents.keys() for label in contents[content]}
            for content in ranked if at_least else ():
                if not seen.issuperset(contents[content]):
                    found.add(content)
                    seen.update(contents[content])
        return found


def _position(content: str) -> float:
    """Returns a number in [0, 1) that looks random; that which cuts splits would leave train no small ones."""
    digest = hashlib.sha256(b"replay" + bytes.fromhex(content)).digest()
    return int.from_bytes(digest[:6], "big") / 2**48
