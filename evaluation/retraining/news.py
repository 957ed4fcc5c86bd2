"""Which examples are new, or changed, beside those of lists that runs have left."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from finetune.artifacts.example_list import ListedExample

# A file by what can be told without reading it.
Stat = tuple[str, int, int]


@dataclass
class Known:
    """What lists of examples say of contents, paths and labels, whichever of the lists says it."""

    by_stat: dict[Stat, ListedExample] = field(default_factory=dict)
    _labelled: set[tuple[str, tuple[str, ...]]] = field(default_factory=set)
    _digests: set[str] = field(default_factory=set)
    _paths: set[str] = field(default_factory=set)

    @classmethod
    def of(cls, *lists: Iterable[ListedExample]) -> Known:
        """Gathers lists; where two say something of one file, the later one is taken for it."""
        known = cls()
        for examples in lists:
            for example in examples:
                known.by_stat[stat_of(example)] = example
                known._paths.add(example.path)
                if example.sha256:
                    known._digests.add(example.sha256)
                    known._labelled.add((example.sha256, example.labels))
        return known

    def holds(self, example: ListedExample) -> bool:
        """Tells whether an example of the same content and labels, or the same file if nobody read it, is in a list."""
        same = self.by_stat.get(stat_of(example))
        return (example.sha256, example.labels) in self._labelled or (
            same is not None and not same.sha256 and same.labels == example.labels
        )

    def has_changed(self, example: ListedExample) -> bool:
        """Tells of an example that is not held, whether its path or its content is."""
        return example.path in self._paths or example.sha256 in self._digests


@dataclass(frozen=True)
class News:
    """Examples that are not held: `new` ones, and those `changed` in content or labels; a copy counts once."""

    new: Sequence[ListedExample]
    changed: Sequence[ListedExample]

    @property
    def all(self) -> list[ListedExample]:
        """Both."""
        return [*self.new, *self.changed]


def news(now: Iterable[ListedExample], known: Known) -> News:
    """Returns which of the examples that are there now are not known."""
    fresh = {(example.sha256, example.labels): example for example in now if not known.holds(example)}
    changed = {key: example for key, example in fresh.items() if known.has_changed(example)}
    return News([one for key, one in fresh.items() if key not in changed], list(changed.values()))


def gone(now: Iterable[ListedExample], then: Iterable[ListedExample]) -> int:
    """Counts contents that became examples then, and are not there now."""
    there = {example.sha256 for example in now}
    return len({example.sha256 for example in then if example.split} - there)


def stat_of(example: ListedExample) -> Stat:
    """Returns what is known of a file without reading it."""
    return example.path, example.size, example.mtime_ns
