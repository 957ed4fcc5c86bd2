"""Sums over examples, from which losses and accuracies are made. No TensorFlow here."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Totals:
    """Totals are sums over examples."""

    loss: float = 0.0  # Sum of the examples' losses; in training, each with the penalties of the layers added.
    correct: float = 0.0  # Sum of the examples' accuracies: of single labels, how many examples were right.
    examples: float = 0.0
    skipped: float = 0.0  # How many updates were skipped, because a scaled gradient overflowed.

    def __add__(self, other: Totals) -> Totals:
        return Totals(
            self.loss + other.loss,
            self.correct + other.correct,
            self.examples + other.examples,
            self.skipped + other.skipped,
        )

    def means(self, prefix: str = "") -> dict[str, float]:
        """Returns `loss` and `accuracy` as means over the examples, under names that begin with `prefix`."""
        return {f"{prefix}loss": self.loss / self.examples, f"{prefix}accuracy": self.correct / self.examples}
