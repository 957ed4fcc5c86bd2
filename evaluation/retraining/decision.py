"""The decision of `finetune retrain`: facts and policy in, action and reasons out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from evaluation.data_checks.two_sample import TwoSample
from evaluation.retraining.label_shift import LabelShift, difference
from finetune.artifacts.data_findings import DataFinding
from finetune.artifacts.findings import Interval
from finetune.artifacts.retrain_decision import DRIFT, TRAINS, Action, LookedAtSpan, RetrainDecision, RetrainReason
from finetune.config.retrain import RetrainConfig

# The tests that share `retrain.level`: labels, frozen features, what the champion gets right.
TESTS = 3


def level_of_each(policy: RetrainConfig) -> float:
    """Returns the level of each test, so that all of them together keep that of the policy (Bonferroni)."""
    return policy.level / TESTS


@dataclass(frozen=True)
class OnNew:
    """How many examples the champion gets right, of new ones and of those that it was tested on: (right, of).

    `effects` are the design effects of both: how much less examples tell because they come in groups.
    """

    new: tuple[int, int]
    tested: tuple[int, int]
    effects: tuple[float, float] = (1.0, 1.0)


@dataclass(frozen=True)
class Compared:
    """New examples beside those that the champion was made with; None for what could not be had.

    Attributes:
        labels: Of both.
        features: Of both, as the frozen backbone gives them.
        on_new: What the champion says of the new ones.
    """

    labels: LabelShift | None = None
    features: TwoSample | None = None
    on_new: OnNew | None = None


@dataclass(frozen=True)
class Examined(Compared):
    """What a look into all new examples showed.

    Attributes:
        refused: Why the data were refused; empty if they were not.
        findings: Of the checks of the data that found something, and of that of the champion's statistics.
        why_not: Why something could not be had, by the reason's name.
        spans: The new examples of each span by themselves, by its name; of k spans each test has a k-th of its level.
    """

    refused: str = ""
    findings: Sequence[DataFinding] = ()
    why_not: dict[str, str] = field(default_factory=dict)
    spans: Mapping[str, Compared] = field(default_factory=dict)


@dataclass(frozen=True)
class Facts:
    """What is known without a look into any example.

    Attributes:
        examples: That there are now.
        new, changed: Of them, that neither the champion was made with, nor a run since has judged.
        undecided: Of those, that no decision has looked at yet.
        champion: Number of the version that is served; None while there is none.
        made_with: Number of examples that the champion was made with; None where that was not recorded.
        gone: Of those, how many are not there any more.
        age_days: Since the champion was published.
        waiting: Folder of a model that waits for approval; empty if none does.
        new_classes: Labels of new examples that the champion does not know.
        why_cold: Why training cannot go on from the champion, as a clause; empty if it can.
        warm_in_a_row: How many trainings have gone on from a champion since the last that began from the backbone.
        unfinished: Whether the last decision was to train, and the run that followed did not end.
        examined: None where nothing was looked into.
    """

    examples: int
    new: int
    changed: int
    undecided: int
    champion: int | None = None
    made_with: int | None = None
    gone: int = 0
    age_days: float | None = None
    waiting: str = ""
    new_classes: Sequence[str] = ()
    why_cold: str = ""
    warm_in_a_row: int = 0
    unfinished: bool = False
    examined: Examined | None = None

    @property
    def unjudged(self) -> int:
        """How many examples no run has judged."""
        return self.new + self.changed

    @property
    def worth_examining(self) -> bool:
        """Whether a look into new examples could change the decision."""
        return bool(self.undecided and not self.waiting)


def decide(facts: Facts, policy: RetrainConfig) -> RetrainDecision:
    """Returns what follows, with the reasons that it follows from first."""
    action, decisive = _action(facts, policy)
    looked_at = list(_reasons(facts, policy))
    spans = _spans(facts.examined, policy) if facts.examined else []
    if spans:
        looked_at.append(_of_spans(spans))
    if action in TRAINS and facts.champion is not None:
        looked_at.append(_start(facts, policy))
    reasons = [reason.model_copy(update={"decisive": reason.name in decisive}) for reason in looked_at]
    return RetrainDecision(
        action=action,
        reasons=sorted(reasons, key=lambda reason: not reason.decisive),
        champion=facts.champion,
        spans=spans,
    )


def _spans(examined: Examined, policy: RetrainConfig) -> list[LookedAtSpan]:
    """Says of each span whether it is like what the champion was made with, or in what it differs."""
    level = level_of_each(policy) / max(len(examined.spans), 1)
    return [
        LookedAtSpan(name=name, differs_in=list(differences(one, policy, level)))
        for name, one in examined.spans.items()
    ]


def _of_spans(spans: Sequence[LookedAtSpan]) -> RetrainReason:
    names, drifted = ", ".join(span.name for span in spans), [span.name for span in spans if span.drifted]
    differing = [f"{span.name} ({', '.join(span.differs_in)})" for span in spans if span.differs_in]
    text = f"Of the spans that came, {names}, each by itself, none differs"
    if differing:
        text = f"Of the spans that came, {names}, these differ: {'; '.join(differing)}"
    if drifted:
        text += f". No part of `span: ordinary`, as inputs differ: {', '.join(drifted)}"
    return RetrainReason(name="spans", sentence=f"{text}.", value=len(drifted))


def differences(compared: Compared, policy: RetrainConfig, level: float) -> Iterator[str]:
    """Yields the names of what speaks for new examples of another kind than those that the champion was made with."""
    if compared.labels and compared.labels.differ:
        yield "labels"
    if compared.features and compared.features.differ:
        yield DRIFT
    if compared.on_new and _drop(compared.on_new, level)[1].high < -policy.max_drop:
        yield "champion on new examples"


def _action(facts: Facts, policy: RetrainConfig) -> tuple[Action, list[str]]:
    """Returns the action and the names of the reasons that it follows from."""
    if facts.waiting:
        return "waiting", ["approval"]
    examined = facts.examined
    if examined and examined.refused:
        return "stop: data", ["data"]
    if not facts.unjudged and not facts.unfinished:
        return "nothing to do", ["new examples"]
    if facts.champion is None:
        return "cold", ["champion"]
    if examined and examined.features and examined.features.differ and policy.on_drift == "stop":
        return "stop: data", [DRIFT]
    speaking = list(_speaking(facts, policy))
    if speaking:
        return "cold" if _why_cold(facts, policy) else "warm", speaking
    return "nothing to do", ["new examples"]


def _why_cold(facts: Facts, policy: RetrainConfig) -> str:
    """Returns why training begins from the backbone; empty where it goes on from the champion."""
    if facts.why_cold:
        return facts.why_cold
    if facts.warm_in_a_row + 1 >= policy.cold_every:
        return f"{facts.warm_in_a_row:,} in a row went on from a champion, and every {policy.cold_every:,}th does not"
    return ""


def _speaking(facts: Facts, policy: RetrainConfig) -> Iterator[str]:
    """Yields the names of the reasons to train, of a champion and examples that no run has judged."""
    if facts.unfinished:
        yield "unfinished"
    if facts.unjudged and (facts.made_with is None or facts.unjudged >= policy.min_new * facts.made_with):
        yield "new examples"
    if facts.new_classes:
        yield "new classes"
    if policy.max_age_days is not None and facts.age_days is not None and facts.age_days >= policy.max_age_days:
        yield "age"
    yield from differences(facts.examined or Compared(), policy, level_of_each(policy))


def _reasons(facts: Facts, policy: RetrainConfig) -> Iterator[RetrainReason]:
    """Yields what was looked at, in the order of the tests."""
    if facts.waiting:
        text = f"A candidate waits for approval, and no other is trained meanwhile: {facts.waiting}"
        yield RetrainReason(name="approval", sentence=text)
    yield _new_examples(facts, policy)
    if facts.champion is None:
        text = "No model has been pushed yet, or none that this metadata store knows."
        yield RetrainReason(name="champion", sentence=text)
        return
    yield _age(facts, policy)
    if facts.unfinished:
        text = "The last decision was to train, and the run that followed did not end."
        yield RetrainReason(name="unfinished", sentence=text)
    if facts.new_classes:
        text = f"The champion does not know {', '.join(facts.new_classes)}."
        yield RetrainReason(name="new classes", sentence=text, value=len(facts.new_classes), bound=0)
    if facts.examined is None:
        return
    examined = facts.examined
    if examined.refused:
        yield RetrainReason(name="data", sentence=f"The data were refused: {examined.refused}")
    compared = {
        "labels": _labels(examined.labels) if examined.labels else None,
        DRIFT: _features(examined.features) if examined.features else None,
        "champion on new examples": _on_new(examined.on_new, policy) if examined.on_new else None,
    }
    for name, reason in compared.items():
        why_not = f"Not looked at: {examined.why_not.get(name, 'the data were refused')}."
        yield reason or RetrainReason(name=name, sentence=why_not)
    for finding in examined.findings:
        yield RetrainReason(
            name=f"check {finding.check}", sentence=finding.sentence, value=finding.value, bound=finding.bound
        )


def _start(facts: Facts, policy: RetrainConfig) -> RetrainReason:
    why_cold = _why_cold(facts, policy)
    text = f"Training begins from the backbone, as {why_cold}."
    if not why_cold:
        text = (
            f"Training goes on from the champion, number {facts.warm_in_a_row + 1:,} in a row; every "
            f"{policy.cold_every:,}th begins from the backbone."
        )
    return RetrainReason(name="start", sentence=text, value=facts.warm_in_a_row, bound=policy.cold_every - 1)


def _new_examples(facts: Facts, policy: RetrainConfig) -> RetrainReason:
    if not facts.unjudged:
        text = f"None of {facts.examples:,} examples is new or changed since a run judged them."
        return RetrainReason(name="new examples", sentence=text, value=0)
    counted = f"{facts.new:,} new and {facts.changed:,} changed of {facts.examples:,} examples"
    seen = facts.unjudged - facts.undecided
    before = f", {seen:,} of them looked at before" if seen else ""
    if facts.champion is None:
        return RetrainReason(name="new examples", sentence=f"{counted}{before}.", value=facts.unjudged)
    if facts.made_with is None:
        text = f"{counted}; what the champion was made with was not recorded, so that they all count."
        return RetrainReason(name="new examples", sentence=text, value=facts.unjudged)
    text = (
        f"{counted}{before}: {facts.unjudged / max(facts.made_with, 1):.1%} of the {facts.made_with:,} that the "
        f"champion was made with, enough from {policy.min_new:.1%} on; {facts.gone:,} of those are gone."
    )
    bound = policy.min_new * facts.made_with
    return RetrainReason(name="new examples", sentence=text, value=facts.unjudged, bound=bound)


def _age(facts: Facts, policy: RetrainConfig) -> RetrainReason:
    if facts.age_days is None:
        return RetrainReason(name="age", sentence=f"Version {facts.champion} does not say when it was published.")
    most = f", any new example is enough from {policy.max_age_days:g} on" if policy.max_age_days else ""
    text = f"The champion, version {facts.champion}, is {facts.age_days:.1f} days old{most}."
    return RetrainReason(name="age", sentence=text, value=facts.age_days, bound=policy.max_age_days)


def _labels(shift: LabelShift) -> RetrainReason:
    differ = "differ" if shift.differ else "do not differ"
    text = (
        f"Labels of new examples {differ} from those before beyond chance (p = {shift.p_value:.4f}, level "
        f"{shift.level:.4f}); most does {shift.label!r}, from {shift.before:.1%} to {shift.now:.1%} "
        f"({shift.change.low:+.1%} to {shift.change.high:+.1%})."
    )
    change = shift.now - shift.before
    return RetrainReason(name="labels", sentence=text, value=change, interval=shift.change)


def _features(tested: TwoSample) -> RetrainReason:
    can = "can" if tested.differ else "cannot"
    text = f"New examples {can} be told from those before by frozen features: {tested.sentence}."
    return RetrainReason(name=DRIFT, sentence=text, value=tested.auc, bound=tested.bound)


def _on_new(on_new: OnNew, policy: RetrainConfig) -> RetrainReason:
    value, interval = _drop(on_new, level_of_each(policy))
    new, tested = (right / of for right, of in (on_new.new, on_new.tested))
    text = (
        f"The champion gets {new:.1%} of {on_new.new[1]:,} new examples right, and {tested:.1%} of its "
        f"{on_new.tested[1]:,} test examples: {value:+.1%} ({interval.low:+.1%} to {interval.high:+.1%}), a drop of "
        f"more than {policy.max_drop:.1%} counts."
    )
    return RetrainReason(
        name="champion on new examples", sentence=text, value=value, interval=interval, bound=-policy.max_drop
    )


def _drop(on_new: OnNew, level: float) -> tuple[float, Interval]:
    """Returns the difference of the shares, and its interval, whose upper end a true value exceeds at the level."""
    new, tested = (
        (right / effect, of / effect)
        for (right, of), effect in zip((on_new.new, on_new.tested), on_new.effects, strict=True)
    )
    interval = difference(new, tested, 1 - 2 * level)
    return on_new.new[0] / on_new.new[1] - on_new.tested[0] / on_new.tested[1], interval
