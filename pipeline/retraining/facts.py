"""What is known before any example is looked into: what is new since the champion, and since runs and decisions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from evaluation.retraining.decision import Facts
from evaluation.retraining.news import Known, gone, news
from finetune.artifacts.example_list import ListedExample
from finetune.config import Config
from finetune.errors import RunError
from pipeline.retraining.lineage import Lineage, PastDecision
from pipeline.retraining.listing import examples_now
from registry.approval import waiting_models
from registry.versions import PENDING, newest_version, read_record
from trainer_module.backbones.sources import record_of, source_of
from trainer_module.warm_start.state import StateFacts, preprocessing_of


@dataclass(frozen=True)
class Champion:
    """The model that is served.

    Attributes:
        version: Its folder.
        made_with: The examples of its run, those that were left out among them; None where that was not recorded.
        tested: Folder of what it said of its test examples; None where that is gone.
        transformed: Artifacts of the transformed examples that it was trained on, and of their graph; None if gone.
    """

    version: Path
    made_with: Sequence[ListedExample] | None
    tested: str | None
    transformed: tuple[Any, Any] | None


@dataclass(frozen=True)
class Situation:
    """The facts, and what they were counted from.

    Attributes:
        examples: All that there are now.
        undecided: SHA-256 of those that no run has judged and no decision has looked at.
        latest: The last decision that looked into examples; empty without one.
    """

    facts: Facts
    champion: Champion | None
    examples: Sequence[ListedExample]
    undecided: frozenset[str]
    latest: Sequence[PastDecision] = ()

    @property
    def goes_on(self) -> bool:
        """Whether the run that the last decision led to did not end, and is still what follows."""
        return self.facts.unfinished and not self.undecided and not self.facts.waiting


def situation(config: Config, lineage: Lineage) -> Situation:
    """Finds out where a pipeline stands.

    Raises:
        DataError: The data cannot be listed.
    """
    model = lineage.champion(config.push_path)
    newest = newest_version(config.push_path)
    champion = None
    if model is not None and newest is not None:
        champion = Champion(newest, lineage.examples_of(model), lineage.tested(model), lineage.transformed_of(model))
    decisions = lineage.decisions()
    since = model.id if model is not None else 0
    refused = [past.examples for past in decisions if past.action == "stop: data" and past.id > since]
    made_with = champion.made_with if champion else None
    judged = [made_with or [], *lineage.judged_since(model), *refused]
    looked_into = [past.examples for past in decisions[:1]]
    examples = examples_now(config, Known.of(*judged, *looked_into))
    fresh = news(examples, Known.of(*judged))
    undecided = news(fresh.all, Known.of(*looked_into))
    known_classes = {name for one in made_with or () if one.split for name in one.labels}
    new_classes = sorted({name for one in fresh.all for name in one.labels} - known_classes) if known_classes else []
    facts = Facts(
        examples=len(examples),
        new=len(fresh.new),
        changed=len(fresh.changed),
        undecided=len(undecided.all),
        champion=int(newest.name) if champion and newest else None,
        made_with=_examples(made_with) if made_with is not None else None,
        gone=gone(examples, made_with or ()),
        age_days=_age(newest) if champion and newest else None,
        waiting=waiting_model(config.push_path),
        new_classes=new_classes,
        why_cold=_why_cold(config, lineage.left_by_training(model)) if model is not None else "",
        warm_in_a_row=lineage.warm_in_a_row(),
        unfinished=bool(decisions and decisions[0].unfinished),
    )
    return Situation(facts, champion, examples, frozenset(one.sha256 for one in undecided.all), decisions[:1])


def _why_cold(config: Config, left: str | None) -> str:
    """Says why a training of this config cannot go on from a model, given the folder of what its Trainer left."""
    try:
        facts = StateFacts.find(left) if left else None
    except RunError:
        facts = None
    if facts is None:
        return "the champion has left no weights to go on from"
    digest = source_of(config.backbone).digest(config.backbone) or facts.backbone.sha256
    if (facts.backbone.name, facts.backbone.sha256) != (record_of(config.backbone).name, digest):
        return f"the champion's backbone is {facts.backbone.name}, or has other weights than that of the config"
    if facts.units != config.training.head.units:
        return f"the champion's head has hidden layers of {facts.units}, and that of the config of other widths"
    if facts.preprocessing != preprocessing_of(record_of(config.backbone)):
        return "an input goes through another preprocessing than the champion's"
    return ""


def _examples(made_with: Sequence[ListedExample]) -> int:
    return sum(bool(one.split) for one in made_with)


def _age(version: Path) -> float | None:
    """Returns the days since a version was published; None where it does not say."""
    try:
        published = datetime.fromisoformat(read_record(version).at)
    except ValueError:
        return None
    return (datetime.now(timezone.utc) - published).total_seconds() / 86_400


def waiting_model(directory: Path) -> str:
    """Returns the folder of the latest model that can still be approved; one that was judged beside another cannot."""
    newest = newest_version(directory)
    served = int(newest.name) if newest else None
    for digest in waiting_models(directory):
        folder = directory / PENDING / digest
        if read_record(folder).judged_against == served:
            return str(folder)
    return ""
