"""Candidates that are no better, judged again and again on one test set: `python -m benchmarks.promotions`.

A false promotion is one of a candidate that is no better than its champion. In each of 10,000 simulated projects, 100
such candidates in turn stand beside the champion on the same 1,000 test examples; both are right 9 times in 10, and
differ on 8 of 100 examples. Whoever is promoted is the champion from then on. Rules:

* larger: the accuracy on the test set is higher than the champion's;
* each at 95 %: the lower end of Newcombe's 95 % interval of the difference is above 0, whatever was before;
* ladder: the difference is above one standard error of it (Blum and Hardt 2015, the ladder without parameters);
* hundredth: as the second rule, at a hundredth of the risk for each look, whose number has to be known beforehand;
* spent: as the second rule, at the share of `evaluation.reuse` for each look.

Thresholdout (Dwork et al. 2015) is not among them: it answers with noise added where train and test differ, and a
verdict with noise in it could not be repeated.
"""

from __future__ import annotations

from collections.abc import Callable
from statistics import NormalDist
from typing import Any

import numpy as np

from benchmarks.tables import machine, save, table
from evaluation.intervals import paired_ends
from evaluation.reuse import share_of_risk

RISK, LOOKS, PROJECTS, EXAMPLES = 0.05, 100, 10_000, 1000
RIGHT, APART = 0.9, 0.08
AT = (1, 5, 20, 100)

# Takes counts [4, projects] of examples that are right by both, by the candidate alone, by the champion alone, by
# neither, and which look it is; returns bool [projects], who is promoted.
Rule = Callable[[np.ndarray, int], np.ndarray]


def proven(level: Callable[[int], float]) -> Rule:
    """The rule that the lower end of the interval is above 0, at a level for each look."""
    return lambda counts, look: paired_ends(counts, 1 - 2 * level(look))[0] > 0


def ladder(counts: np.ndarray, look: int) -> np.ndarray:
    """The ladder's rule, with the paired standard error as its step."""
    _, gains, losses, _ = counts
    total = counts.sum(axis=0)
    difference = (gains - losses) / total
    return difference > np.sqrt(((gains + losses) / total - difference**2) / total)


RULES: dict[str, Rule] = {
    "larger": lambda counts, look: counts[1] > counts[2],
    "each at 95 %": proven(lambda look: RISK / 2),
    "ladder": ladder,
    "hundredth": proven(lambda look: RISK / LOOKS),
    "spent": proven(lambda look: min(RISK / 2, share_of_risk(RISK, look))),
}


def judged(rights: np.ndarray, examples: int, better: float, random: np.random.Generator) -> np.ndarray:
    """Draws candidates beside champions on their test sets.

    Args:
        rights: int [projects], how many examples each champion has right.
        examples: In each test set.
        better: By how much the candidate is truly better, in [0, APART].
        random: What is drawn from.

    Returns:
        Counts [4, projects], as a `Rule` takes them.
    """
    losses = random.binomial(rights, (APART - better) / 2 / RIGHT)
    gains = random.binomial(examples - rights, (APART + better) / 2 / (1 - RIGHT))
    return np.array([rights - losses, gains, losses, examples - rights - gains])


def false_promotions(rule: Rule, looks: int, projects: int, examples: int, seed: int) -> np.ndarray:
    """Returns how many false promotions each project has in so many looks at its test set, int [projects]."""
    random = np.random.default_rng(seed)
    rights = random.binomial(examples, RIGHT, projects)
    found = np.zeros(projects, dtype=int)
    for look in range(1, looks + 1):
        counts = judged(rights, examples, 0.0, random)
        promoted = rule(counts, look)
        found += promoted
        rights = np.where(promoted, counts[0] + counts[1], rights)
    return found


def found_at(rule: Rule, look: int, better: float, projects: int, examples: int, seed: int) -> float:
    """Returns the share of candidates that are truly better by so much and are promoted at a look."""
    random = np.random.default_rng(seed)
    rights = random.binomial(examples, RIGHT, projects)
    return float(rule(judged(rights, examples, better, random), look).mean())


def main() -> None:
    """Writes `results/promotions.md` and `results/promotions.json`."""
    # What 80 % of first looks find, by the standard error of a paired difference.
    better = (NormalDist().inv_cdf(0.975) + NormalDist().inv_cdf(0.8)) * (APART / EXAMPLES) ** 0.5
    figures: dict[str, dict[str, Any]] = {}
    for name, rule in RULES.items():
        false = false_promotions(rule, LOOKS, PROJECTS, EXAMPLES, seed=1)
        figures[name] = {
            "projects with a false promotion": float((false > 0).mean()),
            "false promotions a project": float(false.mean()),
            "found": {look: found_at(rule, look, better, PROJECTS, EXAMPLES, seed=2) for look in AT},
        }
    head = ["rule", "projects with a false promotion", "false promotions a project"]
    head += [f"better by {better:.3f}, found at look {look}" for look in AT]
    rows = [
        [
            name,
            f"{one['projects with a false promotion']:.1%}",
            f"{one['false promotions a project']:.2f}",
            *(f"{share:.0%}" for share in one["found"].values()),
        ]
        for name, one in figures.items()
    ]
    text = (
        f"# Candidates that are no better, on one test set\n\n{(__doc__ or '').split(chr(10), 2)[2].strip()}\n\n"
        f"{table(head, rows)}\n\n"
        f"{PROJECTS:,} projects; {machine()}."
    )
    save("promotions", text, figures)
    print(text)


if __name__ == "__main__":
    main()
