"""Keeps what is rare in every split: iterative stratification of examples with several labels.

Sechidis, Tsoumakas and Vlahavas 2011, "On the stratification of multi-label data", algorithm 1, with three changes. A
label that few examples lack is as rare as one that few have, so both count. Each split is to get one example of what
there is enough of. And what is not rare is left where its content puts it, so that data which are added move little.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping

# Expected in the smallest split. Where there are more, a cut by content comes within a fifth of its fraction by itself.
ENOUGH = 20

# A label, and whether it is there or absent.
_Stratum = tuple[str, bool]


def stratify(
    labels: Mapping[str, tuple[str, ...]],
    fractions: Mapping[str, float],
    by_content: Mapping[str, str],
    position: Callable[[str], float],
    settled: Mapping[str, str],
) -> dict[str, str]:
    """Divides the contents that have, or lack, a label as few do.

    Args:
        labels: Of each content.
        fractions: Share of each split, from the one that is served first; they add up to 1.
        by_content: Split that each content has otherwise.
        position: A number in [0, 1) for each content, which orders them.
        settled: Split of contents that stay where they are, and count there.

    Returns:
        Split of each of these contents that is not settled; the others are not in it.
    """
    members = _rare_strata(labels, ENOUGH / min(fractions.values()))
    rare = set().union(*members.values())
    strata_of = defaultdict(list)
    for stratum, contents in members.items():
        for content in contents:
            strata_of[content].append(stratum)
    wanted = {stratum: _wanted(len(contents), fractions) for stratum, contents in members.items()}
    elsewhere = Counter(settled.get(content, by_content[content]) for content in labels if content not in rare)
    room = {split: fraction * len(labels) - elsewhere[split] for split, fraction in fractions.items()}
    order = list(fractions)
    found: dict[str, str] = {}
    for content in rare & settled.keys():
        split = settled[content]
        room[split] = room.get(split, 0.0) - 1
        for stratum in strata_of[content]:
            wanted[stratum][split] = wanted[stratum].get(split, 0.0) - 1
    while open_strata := {
        stratum: left for stratum, contents in members.items() if (left := contents - found.keys() - settled.keys())
    }:
        stratum = min(open_strata, key=lambda one: (len(open_strata[one]), one))
        for content in sorted(open_strata[stratum], key=lambda one: (position(one), one)):
            split = max(order, key=lambda one: (wanted[stratum][one], room[one], -order.index(one)))
            found[content] = split
            room[split] -= 1
            for other in strata_of[content]:
                wanted[other][split] -= 1
    return found


def _rare_strata(labels: Mapping[str, tuple[str, ...]], fewer_than: float) -> dict[_Stratum, set[str]]:
    """Returns the contents of each stratum that has fewer than so many, and has any."""
    counts = Counter(name for names in labels.values() for name in names)
    rare = {(name, True) for name, count in counts.items() if count < fewer_than}
    rare |= {(name, False) for name, count in counts.items() if 0 < len(labels) - count < fewer_than}
    return {
        (name, present): {content for content, names in labels.items() if (name in names) is present}
        for name, present in rare
    }


def _wanted(count: int, fractions: Mapping[str, float]) -> dict[str, float]:
    """Returns how many of a stratum each split should get: its share, but the first split one, then the others one."""
    first, *others = fractions
    least = min(1.0, (count - 1) / len(others)) if others else 0.0
    wanted = {split: max(count * fractions[split], least) for split in others}
    return {first: count - sum(wanted.values()), **wanted}
