"""Which rule lets no replacement out that is worse than its champion: years of retraining, drawn many times over.

    make bench-replacements     (python -m benchmarks.replacements [--set flowers|digits ...] [--years N])

Each year is drawn from real pictures as `benchmarks.simulate_year` has it, faults and all, but on frozen features that
are recorded once, with the product's own fitted head. Every training is a candidate; a rule sees what candidate and
champion say of the test examples of all spans so far, and some rules what they say of examples that the champion did
not learn from, the candidate by cross-validation (`held out`). What is true is measured on 200 pictures that enter no
span: a promotion is bad where the candidate gets more than a point less of them right, and a candidate is missed that
gets a point more right and is refused. The rule was chosen on one half of the draws; the other half is the proof.

Rules on weeks without a fault are told which weeks these are. Rules on spans that have not drifted know what `finetune
retrain` has found of each span when it came, beside the champion of its day, by the product's own tests: that frozen
features differ, or also that the champion gets fewer right, or also that labels do.
"""

from __future__ import annotations

import argparse
import pickle
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np
from PIL import Image, ImageOps

import finetune  # noqa: F401  (chooses Keras 2)
from benchmarks.flowers import SIZE, pictures, weights_file
from benchmarks.planted import blurred, dark
from benchmarks.simulate_year import AFTER, AGAIN, FIRST, FIXED, PLAN, WEEK, backbone_of
from benchmarks.tables import machine, save, table
from benchmarks.year_drift import Decisions
from evaluation.intervals import paired_ends
from evaluation.reuse import share_of_risk
from finetune.artifacts.retrain_decision import DRIFT

FOLDER = Path("runs/benchmarks/replacements")
# Seeds of the years to choose by, and of those to prove by.
SEEDS = {
    "To choose by": {"flowers": [*range(50)], "digits": [*range(150)]},
    "To prove by": {"flowers": [*range(1000, 1060)], "digits": [*range(1000, 1150)]},
}
SETS = ("flowers", "digits")
TEST_SHARE = 0.15
Change = Callable[[Image.Image], Image.Image]
CHANGES: dict[str, Change] = {
    "": lambda picture: picture,
    "dark": dark,
    "blurred": blurred,
}
# Weeks whose decision was to train, and the fault of their pictures.
TRAINS = {"start": "", "dark": "dark", "blurred": "blurred", "wrong labels": "", "killed": "dark", "new class": ""}
# Weeks that the decision to train speaks of: those beside them in test are like what the champion was made with.
FAULTS = frozenset({"dark", "blurred", "wrong labels", "killed"})
POINT = 0.01
# What makes a span one that has drifted: that of the product, and what else a decision looks at.
DRIFTED = {
    "": frozenset({DRIFT}),
    ", by what the champion gets right too": frozenset({DRIFT, "champion on new examples"}),
    ", by that and labels too": frozenset({DRIFT, "champion on new examples", "labels"}),
}

Answers = np.ndarray  # float [examples, classes].
# Takes names of reasons to train, and returns the spans that decisions name by one of them.
Drifted = Callable[[frozenset[str]], frozenset[int]]


@dataclass(frozen=True)
class Recorded:
    """Frozen features of pictures as they are, dark and blurred, of all views: float32 [views, pictures, features]."""

    features: dict[str, np.ndarray]
    labels: np.ndarray  # int [pictures].


@dataclass(frozen=True)
class Compared:
    """What a candidate and its champion say of the same examples."""

    labels: np.ndarray
    candidate: Answers
    champion: Answers

    @property
    def counts(self) -> np.ndarray:
        """How many are right by both, the candidate alone, the champion alone, neither."""
        ours, theirs = (said.argmax(axis=1) == self.labels for said in (self.candidate, self.champion))
        return np.array(
            [(ours & theirs).sum(), (ours & ~theirs).sum(), (~ours & theirs).sum(), (~ours & ~theirs).sum()]
        )

    @property
    def brier_gains(self) -> np.ndarray:
        """By how much the candidate's Brier score of each example is lower."""
        truth = np.eye(self.candidate.shape[1])[self.labels]
        return ((self.champion - truth) ** 2).sum(axis=1) - ((self.candidate - truth) ** 2).sum(axis=1)


@dataclass(frozen=True)
class Look:
    """A candidate beside a champion.

    Attributes:
        test: On the test split.
        remembered: On those of its examples that are of spans before the latest and of classes that the champion knows.
        ordinary: On those of its examples that are of no week with a fault.
        held_out: On the test split, and on what the champion did not learn from.
        told: On those of the test split that are of no span of which `drifted` says that it is of another kind.
    """

    test: Compared
    remembered: Compared
    ordinary: Compared
    held_out: Compared
    number: int  # In the year, from 1.
    told: Callable[[frozenset[str]], Compared]


Rule = Callable[[Look], bool]


@dataclass(frozen=True)
class Training:
    """A training of a year, with what all models up to its own say; the last is the candidate.

    Attributes:
        kind: Of the week.
        pictures: int [examples], of all examples so far.
        changes: str [examples], what was done to each picture, as in CHANGES.
        labels: int [examples].
        spans: int [examples], from 0.
        ordinary: bool [examples], of a week without a fault.
        in_test: bool [examples].
        held_out: float [examples, classes], of what is trained on, by cross-validation.
        answers: Of each model, of all examples.
        learned: Of each model, bool [examples], what it was trained on.
        fixed: Of each model, bool [FIXED], what it gets right of the pictures that enter no span.
    """

    kind: str
    pictures: np.ndarray
    changes: np.ndarray
    labels: np.ndarray
    spans: np.ndarray
    ordinary: np.ndarray
    in_test: np.ndarray
    held_out: np.ndarray
    answers: list[Answers]
    learned: list[np.ndarray]
    fixed: list[np.ndarray]

    def look(self, champion: int, number: int, drifted: Drifted = lambda _: frozenset()) -> Look:
        """The candidate beside one of the models before it."""
        learned, theirs = self.learned[champion], self.answers[champion]
        test, fresh = self.in_test & ~learned, ~self.in_test & ~learned
        known = np.isin(self.labels, self.labels[learned]) & (self.spans < self.spans.max())
        ours = np.where(self.in_test[:, np.newaxis], self.answers[-1], self.held_out)

        def on(chosen: np.ndarray) -> Compared:
            return Compared(self.labels[chosen], ours[chosen], theirs[chosen])

        def told(reasons: frozenset[str]) -> Compared:
            return on(test & ~np.isin(self.spans, list(drifted(reasons))))

        return Look(on(test), on(test & known), on(test & self.ordinary), on(test | fresh), number, told)

    def gain(self, champion: int) -> float:
        """How many more of the pictures that enter no span the candidate gets right, as a share."""
        return float(self.fixed[-1].mean() - self.fixed[champion].mean())


def all_pass(_: Look) -> bool:
    """Whoever comes is promoted."""
    return True


def as_good(look: Look) -> bool:
    """No fewer are right."""
    _, ours, theirs, _ = look.test.counts
    return bool(ours >= theirs)


def not_disproven(look: Look) -> bool:
    """It is not shown at 95 % that the candidate is more than a point worse."""
    return bool(paired_ends(look.test.counts, 0.95)[1] >= -POINT)


def proven(margin: float, confidence: float, of: str = "test", risk: float | None = None) -> Rule:
    """It is shown that the candidate is at most so much worse; with a risk, at the share of it of each look."""

    def rule(look: Look) -> bool:
        held = confidence if risk is None else max(confidence, 1 - 2 * share_of_risk(risk, look.number))
        return bool(paired_ends(getattr(look, of).counts, held)[0] >= -margin)

    return rule


def proven_on_others(margin: float, confidence: float, reasons: frozenset[str]) -> Rule:
    """It is shown on spans that have not drifted, for one of these reasons, where the test split has an example."""

    def rule(look: Look) -> bool:
        compared = look.told(reasons)
        return not len(compared.labels) or bool(paired_ends(compared.counts, confidence)[0] >= -margin)

    return rule


def sharper(confidence: float) -> Rule:
    """The Brier score is shown to be lower, one-sided, by the standard error of the paired differences."""

    def rule(look: Look) -> bool:
        gains = look.test.brier_gains
        return bool(gains.mean() >= NormalDist().inv_cdf(confidence) * gains.std(ddof=1) / len(gains) ** 0.5)

    return rule


def both(first: Rule, second: Rule) -> Rule:
    """What two rules let out."""
    return lambda look: first(look) and second(look)


RULES: dict[str, Rule] = {
    "whoever comes": all_pass,
    "not shown to be a point worse, 95 %": not_disproven,
    "no fewer right": as_good,
    "shown to be at most a point worse, 95 %, 5 % over all looks": proven(POINT, 0.95, risk=0.05),
    **{
        f"shown to be at most {worse} worse, {confidence:.0%}": proven(margin, confidence)
        for margin, worse in ((0.01, "a point"), (0.03, "3 points"), (0.05, "5 points"))
        for confidence in (0.8, 0.9, 0.95)
    },
    **{
        f"shown to be at most a point worse, 90%, and {worse} on what the champion is to know": both(
            proven(POINT, 0.9), proven(margin, 0.9, of="remembered")
        )
        for margin, worse in ((0.03, "3 points"), (0.05, "5 points"))
    },
    **{
        f"shown to be at most a point worse, 95%, and {worse} on what the champion is to know, 95%": both(
            proven(POINT, 0.95), proven(margin, 0.95, of="remembered")
        )
        for margin, worse in ((0.03, "3 points"), (0.05, "5 points"))
    },
    "shown to be at most a point worse, 90%, on weeks without a fault alone": proven(POINT, 0.9, of="ordinary"),
    "shown to be at most a point worse, 90%, and 5 points on weeks without a fault": both(
        proven(POINT, 0.9), proven(0.05, 0.9, of="ordinary")
    ),
    **{
        f"shown to be at most {worse} worse, 90%, and {points:g} points on spans that have not drifted{by}": both(
            proven(overall, 0.9), proven_on_others(points / 100, 0.9, reasons)
        )
        for by, reasons in DRIFTED.items()
        for overall, worse in ((0.01, "a point"), (0.03, "3 points"), (0.05, "5 points"))
        for points in (3, 4, 5)
    },
    **{f"Brier score shown to be lower, {level:.1%} one-sided": sharper(level) for level in (0.9, 0.95, 0.975)},
    **{
        f"shown to be at most a point worse, {level:.0%}, held out too": proven(POINT, level, of="held_out")
        for level in (0.9, 0.95)
    },
}


def recorded(name: str) -> Recorded:
    """Reads the features of a set, or records them."""
    path = FOLDER / f"{name}.pkl"
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(pickle.dumps(_record(name)))
    found: Recorded = pickle.loads(path.read_bytes())
    return found


def _record(name: str) -> Recorded:
    """Runs the backbone over all pictures of a set: flowers, and their mirror images, or the digits 5 to 9."""
    import tensorflow as tf
    import tf_keras as keras

    from finetune_cli.demo import IMAGE_SIZE, handwritten_digits, to_image
    from trainer_module.backbones.sources.small_cnn import small_cnn
    from transforms.image import scale

    if name == "flowers":
        paths = [path for split in ("train", "val") for path in pictures(split)]
        shown = [Image.open(path).convert("RGB") for path in paths]
        named = np.array([path.parent.name for path in paths])
        network = keras.applications.MobileNetV2((SIZE, SIZE, 3), 0.35, False, weights=None)
        network.load_weights(str(weights_file()))
        size, views = SIZE, [lambda picture: picture, ImageOps.mirror]
    else:
        every, digits = handwritten_digits()
        shown = [to_image(picture).convert("RGB") for picture in every[digits >= 5]]
        named, size, views = digits[digits >= 5], IMAGE_SIZE, [lambda picture: picture]
        network = small_cnn(IMAGE_SIZE)
        network.load_weights(backbone_of("digits", FOLDER.absolute())["weights"])

    def features(change: Change) -> np.ndarray:
        made = [change(picture).resize((size, size), Image.Resampling.BILINEAR) for picture in shown]
        parts = [np.stack([np.asarray(one) for one in made[place : place + 64]]) for place in range(0, len(made), 64)]
        return np.concatenate(
            [
                network.predict(scale(tf.constant(part), "minus_one_to_one"), verbose=0).mean(axis=(1, 2))
                for part in parts
            ]
        )

    def seen(change: Change, view: Change) -> np.ndarray:
        return features(lambda picture: view(change(picture)))

    found = {kind: np.stack([seen(change, view) for view in views]) for kind, change in CHANGES.items()}
    return Recorded(found, np.unique(named, return_inverse=True)[1])


@dataclass
class Year:
    """A year that is drawn: what has come so far."""

    of: Recorded
    seed: int
    pictures: list[int] = field(default_factory=list)
    kinds: list[str] = field(default_factory=list)
    spans: list[int] = field(default_factory=list)
    ordinary: list[bool] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)

    def trainings(self, first: int, to_the_end: bool) -> list[Training]:
        """Lets the weeks pass.

        Args:
            first: Pictures of the first week.
            to_the_end: Whether weeks go on after the plan, every second of which trains.
        """
        random = np.random.default_rng(self.seed)
        order = random.permutation(len(self.of.labels))
        classes = int(self.of.labels.max()) + 1
        per_class = FIXED // classes
        self._fixed = np.concatenate([order[self.of.labels[order] == each][:per_class] for each in range(classes)])
        self._pool = [place for place in order if place not in set(self._fixed)]
        self._in_test = random.random(len(order)) < TEST_SHARE
        self._held_back = classes - 1
        self._models: list[tuple[Any, np.ndarray]] = []
        found = [self._week("start", self._take(first))]
        broken: list[int] = []
        for kind in PLAN:
            if kind == "put right" and broken:
                found.append(self._week("quiet", broken))
                broken = []
            elif kind == "put right":
                self.labels[-WEEK:] = self.of.labels[self.pictures[-WEEK:]].tolist()
            elif kind == "cut short":
                broken = self._take(WEEK)
            elif kind not in ("empty", "copies", *AGAIN):
                if kind == "new class":
                    self._release(random)
                found.append(self._week(kind, self._take(WEEK)))
        while to_the_end and len(self._pool) >= WEEK:
            found.append(self._week(AFTER, self._take(WEEK), trains=len(found) % 2 == 0))
        return [training for training in found if training]

    def _take(self, count: int) -> list[int]:
        taken = [place for place in self._pool if self.of.labels[place] != self._held_back][:count]
        self._pool = [place for place in self._pool if place not in set(taken)]
        return taken

    def _release(self, random: np.random.Generator) -> None:
        late = [place for place in self._pool if self.of.labels[place] == self._held_back]
        others = [place for place in self._pool if self.of.labels[place] != self._held_back]
        self._pool = random.permutation(others + late[: len(others) // self._held_back]).tolist()
        self._held_back = -1

    def _week(self, kind: str, taken: Sequence[int], trains: bool = False) -> Training | None:
        labels = self.of.labels[list(taken)]
        self.pictures += taken
        self.kinds += [TRAINS.get(kind, "")] * len(taken)
        self.spans += [max(self.spans, default=-1) + 1] * len(taken)
        self.ordinary += [kind not in FAULTS] * len(taken)
        self.labels += (np.roll(labels, len(taken) // 2) if kind == "wrong labels" else labels).tolist()
        return self._trained(kind) if kind in TRAINS or trains else None

    def _trained(self, kind: str) -> Training:
        from trainer_module.probe import fit_probe
        from trainer_module.tasks import TASKS

        places, labels = np.array(self.pictures), np.array(self.labels)
        values = np.stack(
            [self.of.features[one][:, place] for one, place in zip(self.kinds, places, strict=True)], axis=1
        )
        in_test = self._in_test[places]
        classes = int(self.of.labels.max()) + 1
        probe = fit_probe(TASKS["single_label"], values[:, ~in_test], labels[~in_test], classes, seed=1)
        held_out = np.full((len(labels), classes), np.nan)
        held_out[np.flatnonzero(~in_test)[probe.rows]] = _softmax(probe.logits)
        self._models.append((probe, places[~in_test]))
        fixed = self.of.features[""][0, self._fixed]
        return Training(
            kind=kind,
            pictures=places,
            changes=np.array(self.kinds),
            labels=labels,
            spans=np.array(self.spans),
            ordinary=np.array(self.ordinary),
            in_test=in_test,
            held_out=held_out,
            answers=[_softmax(one.of(values[0])) for one, _ in self._models],
            learned=[np.isin(places, known) for _, known in self._models],
            fixed=[one.of(fixed).argmax(axis=1) == self.of.labels[self._fixed] for one, _ in self._models],
        )


def _softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def drawn(name: str, seeds: Sequence[int]) -> list[list[Training]]:
    """Draws years, or reads those that were drawn."""
    return [_drawn(name, seed) for seed in seeds]


def _drawn(name: str, seed: int) -> list[Training]:
    path = FOLDER / "years" / f"{name}-{seed}.pkl"
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(pickle.dumps(Year(recorded(name), seed).trainings(FIRST[name], name == "digits")))
    found: list[Training] = pickle.loads(path.read_bytes())
    return found


def promoted(year: Sequence[Training], rule: Rule, decisions: Decisions | None = None) -> Iterator[tuple[float, bool]]:
    """Yields by how much each candidate is better than the champion of its day, and whether it is promoted."""
    champion = before = 0
    champions: list[int] = []
    for number, training in enumerate(year[1:], start=1):
        if training.kind == "wrong labels":
            # The champion was rolled back the week before.
            champion = before
        champions.append(champion)
        drifted: Drifted = partial(decisions.drifted, tuple(champions)) if decisions else lambda _: frozenset()
        passes = rule(training.look(champion, number, drifted))
        yield training.gain(champion), passes
        if passes:
            before, champion = champion, number


def figures_of(
    years: Sequence[Sequence[Training]], rule: Rule, decisions: Sequence[Decisions | None] | None = None
) -> dict[str, float]:
    """Counts what a rule does in some years, each with its decisions where the rule asks for them."""
    pairs = zip(years, decisions or [None] * len(years), strict=True)
    of_years = [list(promoted(year, rule, decided)) for year, decided in pairs]
    every = [one for year in of_years for one in year]
    # Shares of 200 are whole multiples of half a point, but for rounding.
    bad = [gain < -POINT - 1e-6 and passes for gain, passes in every]
    better = [passes for gain, passes in every if gain > POINT - 1e-6]
    return {
        "years": len(years),
        "promotions": sum(passes for _, passes in every),
        "bad": sum(bad),
        "years with a bad one": sum(any(gain < -POINT - 1e-6 and passes for gain, passes in year) for year in of_years),
        "better": len(better),
        "missed": len(better) - sum(better),
    }


def page(figures: dict[str, Any]) -> str:
    """The results as Markdown."""
    parts = [f"# Which replacements go out\n\n{(__doc__ or '').split(chr(10), 2)[2].strip()}\n\n{figures['machine']}."]
    head = ("rule", "promotions a year", "bad, of all promotions", "years with a bad one", "better by a point, missed")
    for half, sets in figures["halves"].items():
        for name, rules in sets.items():
            years = next(iter(rules.values()))["years"]
            rows = [
                (
                    *(rule, f"{one['promotions'] / one['years']:.2f}"),
                    f"{one['bad']} ({one['bad'] / max(one['promotions'], 1):.1%})",
                    f"{one['years with a bad one'] / one['years']:.1%}",
                    f"{one['missed'] / max(one['better'], 1):.0%}",
                )
                for rule, one in rules.items()
            ]
            parts.append(f"## {half}: {years} years of {name}\n\n{table(head, rows)}")
    return "\n\n".join(parts)


def main() -> None:
    """Draws years, judges them by each rule, and writes table and raw figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--set", choices=SETS, action="append")
    parser.add_argument("--years", type=int, help="at most so many of each")
    asked = parser.parse_args()
    described = machine()
    halves = {
        half: {
            name: {
                rule: figures_of(years, judged, decisions)
                for years in [drawn(name, seeds[name][: asked.years])]
                for decisions in [[Decisions(recorded(name), year) for year in years]]
                for rule, judged in RULES.items()
            }
            for name in asked.set or SETS
        }
        for half, seeds in SEEDS.items()
    }
    figures = {"machine": described, "halves": halves}
    save("replacements", page(figures), figures)
    print(page(figures))


if __name__ == "__main__":
    main()
