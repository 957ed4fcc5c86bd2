"""Looks into new examples: the checks of the data, their frozen features, and what the champion says of them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from evaluation.data_checks.champion_data import CHAMPION_DATA
from evaluation.data_checks.sampling import at_most
from evaluation.data_checks.space import leading_directions
from evaluation.data_checks.two_sample import FEWEST, TwoSample, two_sample_test
from evaluation.evidence import CANDIDATE, CHAMPION
from evaluation.intervals import design_effect
from evaluation.predictions import Predictions
from evaluation.retraining.decision import Compared, Examined, OnNew, level_of_each
from evaluation.retraining.label_shift import label_shift
from finetune.artifacts.data_findings import DataFinding, DataFindings
from finetune.artifacts.example_list import ExampleList, ListedExample
from finetune.config import Config
from finetune.errors import DataError, FinetuneError
from finetune.spans import place_of
from pipeline.local import GATE, run_through
from pipeline.node_runs import own_error
from pipeline.plan import ingest_node_id, node_ids
from pipeline.retraining.facts import Champion, Situation
from pipeline.retraining.lineage import NODE_ID

if TYPE_CHECKING:
    from trainer_module.embedding import Embedding

# Of more examples on a side, as many are drawn.
MOST_EXAMPLES = 5_000
# Of new examples, the champion is asked about as many.
MOST_ASKED = 1_000
_SPLITS = ("train", "val", "test")
# Reasons that come of comparisons.
_NAMES = ("labels", "frozen features", "champion on new examples")

# Output artifacts of each node, by output name.
Outputs = Mapping[str, Mapping[str, Any]]


class RunThrough(Protocol):
    """Runs nodes and then work on what they left, such as `pipeline.local.run_through`."""

    def __call__(
        self, config: Config, last: str, component: str, work: Callable[[Outputs], Examined], folder: Path
    ) -> Examined:
        """Runs the nodes up to `last`, then the work, and returns its result."""


def examine(config: Config, folder: Path, situation: Situation, through: RunThrough = run_through) -> Examined:
    """Runs the nodes up to the checks of the data, as the run that may follow would, and compares what they left.

    Args:
        config: Of the pipeline.
        folder: Gets the log.
        situation: With examples to look into.
        through: Runs the nodes.

    Raises:
        FinetuneError: A node failed for another reason than the data.
    """
    try:
        work = partial(_compared, config, situation)
        return through(config, last_examined(config), NODE_ID, work, folder)
    except FinetuneError as error:
        # What Beam has wrapped comes as the cause of a RunError.
        if isinstance(own_error(error.__cause__ or error), DataError):
            return Examined(refused=str(error))
        raise


def last_examined(config: Config) -> str:
    """Returns the last node that runs before new examples are compared."""
    return GATE if GATE in node_ids(config) else "Transform"


def _compared(config: Config, situation: Situation, outputs: Outputs) -> Examined:
    champion, ingest = situation.champion, outputs[ingest_node_id(config)]["examples"]
    findings = outputs[GATE]["findings"] if GATE in outputs else None
    checked = DataFindings.find(findings.uri) if findings else None
    found = [each for each in checked.findings if each.found or _is_of_statistics(each)] if checked else []
    listed = ExampleList.read(ingest.uri).examples
    fresh = [one for one in listed if one.split and one.sha256 in situation.undecided]
    before = [one for one in (champion and champion.made_with) or () if one.split]
    if champion is None or not before or not fresh:
        why = "none of the new ones can be used" if before else "what the champion was made with is not known"
        return Examined(findings=found, why_not=dict.fromkeys(_NAMES, why))
    seen = {one.sha256 for one in before}
    unseen = {one.sha256 for one in fresh} - seen
    look = _Look(before, seen, _Space.around(config, outputs, seen, champion), _ask(config, ingest, unseen, champion))
    names = sorted({one.span for one in fresh if one.span}, key=place_of)
    level = level_of_each(config.retrain)
    whole, why_not = look.at(fresh, level)
    return Examined(
        labels=whole.labels,
        features=whole.features,
        on_new=whole.on_new,
        findings=found,
        why_not=why_not,
        spans={
            name: whole
            if len(names) == 1
            else look.at([one for one in fresh if one.span == name], level / len(names))[0]
            for name in names
        },
    )


def _is_of_statistics(finding: DataFinding) -> bool:
    """Tells whether a finding compares the statistics of train with those of the champion's; it is told always."""
    return finding.check == CHAMPION_DATA.name and finding.value is not None


@dataclass(frozen=True)
class _Space:
    """New examples and those before them in the space of frozen features.

    Attributes:
        fresh: SHA-256 of the examples of this run, str [examples], and what the frozen backbone gives of each,
            [examples, features].
        before: The same of the champion's run, where some of its examples have left the window.
        groups: What an example shares with others, by its SHA-256; empty where nobody asked for groups.
    """

    fresh: tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]
    before: tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]
    groups: Mapping[str, str]

    @classmethod
    def around(cls, config: Config, outputs: Outputs, seen: Collection[str], champion: Champion) -> _Space:
        """Computes what is not kept yet."""
        transformed = outputs["Transform"]
        now = _embedded(config, transformed["transformed_examples"], transformed["transform_graph"])
        then = now
        if champion.transformed is not None and not set(seen) <= set(now.keys):
            then = _embedded(config, *champion.transformed)
        groups = {key: group for one in (then, now) for key, group in zip(one.keys, one.groups, strict=False)}
        return cls((np.array(now.keys), now.features), (np.array(then.keys), then.features), groups)

    def groups_of(self, *sides: Sequence[str]) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]] | None:
        """Returns the group of each example of two sides, empty for one that is not known; None without any."""
        if not any(self.groups.values()):
            return None
        first, second = (np.array([self.groups.get(key, "") for key in side]) for side in sides)
        return first, second

    def features(self, seen: Collection[str], unseen: Collection[str], level: float) -> TwoSample | str:
        """Tests frozen features of new examples beside those before them at a level, or says why it cannot."""
        found = []
        for (keys, values), wanted in ((self.before, seen), (self.fresh, unseen)):
            rows = np.flatnonzero(np.isin(keys, list(wanted)))
            found.append((keys[rows], values[rows]))
        before, new = found
        if min(len(before[0]), len(new[0])) < FEWEST:
            return (
                f"it takes {FEWEST} examples on each side, and there are {len(before[0]):,} that the champion was made "
                f"with and {len(new[0]):,} new ones"
            )
        drawn = [at_most(np.arange(len(keys)), MOST_EXAMPLES) for keys, _ in found]
        (first, second), (keys, others) = (
            [one[part][rows] for one, rows in zip(found, drawn, strict=True)] for part in (1, 0)
        )
        directions = leading_directions(np.concatenate([first, second]))
        groups = self.groups_of(keys, others)
        return two_sample_test(directions[: len(first)], directions[len(first) :], level, groups=groups)


def _embedded(config: Config, transformed: Any, graph: Any) -> Embedding:
    """Returns all transformed examples in the space of frozen features."""
    import tensorflow_transform as tft
    from tfx.types import artifact_utils

    from finetune.run_time import resolve
    from pipeline.dag import data_gate_settings
    from pipeline.nodes import place_at
    from trainer_module.embedding import embed

    settings = resolve(data_gate_settings(config), place_at(Path.cwd()))
    there = artifact_utils.decode_split_names(transformed.properties["split_names"].string_value)
    files = {split: f"{transformed.uri}/Split-{split}/*" for split in _SPLITS if split in there}
    return embed(settings, tft.TFTransformOutput(graph.uri), files)


@dataclass(frozen=True)
class _Answers:
    """What the champion says.

    Attributes:
        keys: SHA-256 of the new examples that it was asked about, str [examples].
        now: Of these.
        then: Of the examples that it was tested on.
    """

    keys: np.ndarray[Any, Any]
    now: Predictions
    then: Predictions

    def on(self, wanted: Collection[str]) -> OnNew | str:
        """Counts what it gets right of some new examples and of its test examples, or says why there are none."""
        chosen = np.isin(self.keys, list(wanted))
        if not chosen.any():
            return "of its new examples, the champion was asked about none"
        both = self.now[chosen], self.then
        effects = [1.0 if one.groups is None else design_effect(one.correct, one.groups) for one in both]
        right, tested = ((int(one.correct.sum()), len(one)) for one in both)
        return OnNew(right, tested, (effects[0], effects[1]))


@dataclass(frozen=True)
class _Look:
    """New examples beside those that the champion was made with.

    Attributes:
        before: What the champion was made with, `seen` by its SHA-256.
        space: Of both.
        answers: Of the champion, or why there are none.
    """

    before: Sequence[ListedExample]
    seen: Collection[str]
    space: _Space
    answers: _Answers | str

    def at(self, fresh: Sequence[ListedExample], level: float) -> tuple[Compared, dict[str, str]]:
        """Compares some new examples, at least one, each test at a level; and says why not, by the reason's name."""
        unseen = {one.sha256 for one in fresh} - set(self.seen)
        features = self.space.features(self.seen, unseen, level)
        on_new: OnNew | str = "all new examples are those that the champion was made with, with other labels"
        if unseen:
            on_new = self.answers if isinstance(self.answers, str) else self.answers.on(unseen)
        why_not = {name: one for name, one in zip(_NAMES[1:], (features, on_new), strict=True) if isinstance(one, str)}
        compared = Compared(
            labels=label_shift(
                [one.labels for one in self.before],
                [one.labels for one in fresh],
                level,
                groups=self.space.groups_of([one.sha256 for one in self.before], [one.sha256 for one in fresh]),
            ),
            features=None if isinstance(features, str) else features,
            on_new=None if isinstance(on_new, str) else on_new,
        )
        return compared, why_not


def _ask(config: Config, ingest: Any, unseen: Collection[str], champion: Champion) -> _Answers | str:
    """Asks the champion about examples that it was not made with, or says why that cannot be."""
    import tensorflow as tf

    from components.bulk_inferrer.inference import AskModels
    from components.bulk_inferrer.shard import Shard
    from components.bulk_inferrer.test_set import load_test_set, make_test_set
    from transforms import features
    from transforms.records import read_records

    if champion.tested is None or not Path(champion.tested).is_dir():
        return "what the champion said of its test examples is gone"
    if not unseen:
        return "there is nothing to ask the champion about"
    then = load_test_set(champion.tested).of(CANDIDATE)
    asked = set(np.random.default_rng(0).permutation(sorted(unseen))[:MOST_ASKED].tolist())
    with TemporaryDirectory() as made:
        file, target = Path(made, "new"), Path(made, "answers.npz")
        with tf.io.TFRecordWriter(str(file)) as writer:
            for record in read_records(sorted(tf.io.gfile.glob(f"{ingest.uri}/Split-*/*"))).as_numpy_iterator():
                feature = tf.train.Example.FromString(record).features.feature[features.SHA256]
                if feature.bytes_list.value[0].decode() in asked:
                    writer.write(record)
        columns = [features.GROUP] if config.data.group_column else []
        asking = AskModels(config.task, {CHAMPION: str(champion.version)}, columns)
        asking.setup()
        list(asking.process((str(file), str(target))))
        shard = Shard.read(target)
    now = make_test_set(config.task, shard.labels, shard.columns, shard.models, objects=shard.objects).of(CHAMPION)
    return _Answers(np.array(shard.digests), now, then)
