"""What a test set says about one gate: value, reference, and the interval of what is held against the bound."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from evaluation.gates import Evidence
from evaluation.metrics import Metric, metric_of
from evaluation.metrics.cost import cost_matrix
from evaluation.metrics.interval_methods import Share as ShareMethod
from evaluation.metrics.metric import Pair
from evaluation.power import Counted, PairedShares, Share
from evaluation.predictions import SINGLE_LABEL, Predictions, part_of
from evaluation.tasks import TASKS
from finetune.artifacts.findings import Interval
from finetune.config.evaluation import BASELINES, TEACHER, GateConfig, is_ordinary
from finetune.spans import place_of
from transforms.features import GROUP, SPAN

CANDIDATE, CHAMPION = "candidate", "champion"
# The candidate without the words, or without the picture, of examples that have both.
ALONE = {"image": "image_alone", "text": "text_alone"}


@dataclass(frozen=True)
class TestSet:
    """What every model (`candidate`, `champion` or a baseline) said about the same test examples.

    Attributes:
        classes: Class names, in the order of the columns of probabilities.
        labels: As the task has them: int [examples], or multi-hot [examples, classes], or what is where: objects
            [examples, objects, 8], or pixels [examples, classes, 1].
        columns: Column to its value for each example, str [examples]; of `group`, intervals resample the values.
        probabilities: Model to float [examples, classes].
        said: Model to bool [examples, classes], what it decided; empty where probabilities alone decide.
        trained: The classes that the candidate was trained on; None for all of them.
        known: The classes that the champion was trained on; None where there is no champion, or for all of them.
        learned: bool [examples], those that the champion learned from; None where that is not known.
        digests: bytes [examples], hexadecimal digits of the SHA-256 of each; None where they were not kept.
        costs: What it costs to say a class (inner) in place of the true one (outer); a mistake not in it costs 1.
        drifted: Names of the spans that have drifted from what their champion was made with, and all that differs.
        found: Model to what it found where: boxes float [examples, boxes, 7], or pixels int [examples, classes, 2];
            empty where no places are asked for.
        ranks: Model to int [examples, 2], as `evaluation.retrieval` has them; empty where none has vectors.
    """

    classes: list[str]
    labels: np.ndarray
    columns: Mapping[str, np.ndarray]
    probabilities: Mapping[str, np.ndarray]
    said: Mapping[str, np.ndarray] = field(default_factory=dict)
    task: str = SINGLE_LABEL
    trained: Sequence[str] | None = None
    known: Sequence[str] | None = None
    costs: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    learned: np.ndarray | None = None
    digests: np.ndarray | None = None
    drifted: Mapping[str, Sequence[str]] = field(default_factory=dict)
    ranks: Mapping[str, np.ndarray] = field(default_factory=dict)
    found: Mapping[str, np.ndarray] = field(default_factory=dict)

    # pytest would take it for tests.
    __test__ = False

    @property
    def compared(self) -> TestSet:
        """The test set that candidate and champion are compared on: without what the champion learned from."""
        if self.learned is None or not self.learned.any():
            return self
        return replace(self.part(~self.learned), learned=None)

    def part(self, chosen: np.ndarray) -> TestSet:
        """The test set of some examples, chosen by a mask or by their places, in that order."""
        return replace(
            self,
            labels=self.labels[chosen],
            columns={name: values[chosen] for name, values in self.columns.items()},
            probabilities={name: rows[chosen] for name, rows in self.probabilities.items()},
            said={name: rows[chosen] for name, rows in self.said.items()},
            found={name: rows[chosen] for name, rows in self.found.items()},
            ranks={name: rows[chosen] for name, rows in self.ranks.items()},
            learned=part_of(self.learned, chosen),
            digests=part_of(self.digests, chosen),
        )

    def of(self, model: str) -> Predictions:
        """The predictions of one model."""
        if model not in self._joined:
            answers = self.probabilities[model], self.said.get(model), self.found.get(model)
            self._joined[model] = TASKS[self.task].predictions(self.labels, *answers)
        found = self._joined[model]
        if model in self.ranks:
            found = found.of_ranks(self.ranks[model])
        if GROUP in self.columns:
            found = found.of_groups(self.columns[GROUP])
        if CHAMPION in self.probabilities:
            found = found.of_memory(self._remembered(found.actual))
        return found.at_costs(cost_matrix(self.costs, self.classes)) if self.costs else found

    @cached_property
    def _joined(self) -> dict[str, Predictions]:
        """What was asked for before, by model: boxes take a while to match."""
        return {}

    def _remembered(self, actual: np.ndarray) -> np.ndarray:
        """Says which examples, bool [examples], are of classes that the champion knows and of no span but earlier."""
        new = [self.known is not None and name not in self.known for name in self.classes]
        remembered = np.logical_not(actual[:, new].any(axis=1))
        if spans := set(self.columns.get(SPAN, np.array([])).tolist()):
            remembered &= self.columns[SPAN] != max(spans, key=place_of)
        return remembered

    def members(self, where: Mapping[str, object]) -> np.ndarray:
        """bool [examples], those that have these values in these columns.

        Of `label`, they have this label; `span: ordinary` are those of no span that has drifted.
        """
        found = np.ones(len(self.labels), dtype=bool)
        for column, value in where.items():
            if column == "label":
                found &= self._with_label(str(value))
            elif is_ordinary(column, value):
                found &= ~self.of_drifted
            else:
                found &= self.columns[column] == str(value)
        return found

    @property
    def of_drifted(self) -> np.ndarray:
        """bool [examples], those of spans that have drifted; none where data come in no spans."""
        spans = self.columns.get(SPAN, np.full(len(self.labels), ""))
        return np.isin(spans, np.array(list(self.drifted), dtype=np.str_))

    def combinations(self, columns: Sequence[str]) -> list[list[str]]:
        """The combinations of the columns' values that occur, in order."""
        found: list[tuple[list[str], np.ndarray]] = [([], np.ones(len(self.labels), dtype=bool))]
        for column in columns:
            values = self.classes if column == "label" else sorted(set(self.columns[column].tolist()))
            members = {value: self.members({column: value}) for value in values}
            found = [
                ([*row, value], both)
                for row, mask in found
                for value, of_value in members.items()
                if (both := mask & of_value).any()
            ]
        return sorted(row for row, _ in found)

    def cells(self, columns: Sequence[str]) -> list[list[str]]:
        """The combinations of values that `*` in these columns stands for, in order.

        Of `label` these are all classes that the candidate was trained on or the test split has, each beside every
        combination of the other columns' values that occurs.
        """
        others = [column for column in columns if column != "label"]
        found = [dict(zip(others, row, strict=True)) for row in self.combinations(others)]
        if "label" in columns:
            there = {name for (name,) in self.combinations(["label"])}
            classes = there.union(self.classes if self.trained is None else self.trained)
            found = [{**row, "label": name} for row in found for name in classes]
        return sorted([row[column] for column in columns] for row in found)

    def _with_label(self, name: str) -> np.ndarray:
        if name not in self.classes:
            return np.zeros(len(self.labels), dtype=bool)
        return self._actual[:, self.classes.index(name)]

    @cached_property
    def _actual(self) -> np.ndarray:
        return self.of(CANDIDATE).actual


def evidence_for(gate: GateConfig, test_set: TestSet, confidence: float | None = None) -> Evidence:
    """Measures what a gate asks for.

    Args:
        gate: Without `*`, of a metric of predictions.
        test_set: At least one example, and the candidate.
        confidence: Of the interval, where the gate asks for none; None makes none then.
    """
    if gate.first_only and CHAMPION in test_set.probabilities:
        return Evidence(None, not_asked="this is asked of a first model, and there is a champion")
    if gate.relative_to == CHAMPION:
        every, test_set = test_set, test_set.compared
        if len(every.labels) and not len(test_set.labels):
            return Evidence(None, examples=0, missing="the champion learned from all test examples", unseen=True)
    members = test_set.members(gate.slice)
    if any(is_ordinary(*each) for each in gate.slice.items()) and len(members) and test_set.of_drifted.all():
        moved = "every span of the test split has drifted from what the champion was made with"
        return Evidence(None, examples=0, missing=moved, unseen=True)
    where = " with " + ", ".join(f"{column}={value}" for column, value in gate.slice.items()) if gate.slice else ""
    if not members.any():
        return Evidence(None, examples=0, missing=f"the test split has no example{where}", unseen=True)
    of_class = None
    if gate.of_class is not None:
        if gate.of_class not in test_set.classes:
            known = ", ".join(test_set.classes[:20])
            return Evidence(None, missing=f"there is no class {gate.of_class!r}; there are {known}")
        of_class = test_set.classes.index(gate.of_class)
    metric = metric_of(gate)
    candidate = test_set.of(CANDIDATE)[members]
    examples = len(candidate) if of_class is None else int(candidate.actual[:, of_class].sum())
    if not examples:
        return Evidence(None, examples=0, missing=f"the test split has no {gate.of_class}{where}", unseen=True)
    value = metric.value(candidate, of_class)
    if math.isnan(value) and gate.relative_to == CHAMPION and CHAMPION not in test_set.probabilities:
        return Evidence(None, examples=examples, first_run=True)
    if math.isnan(value):
        return Evidence(None, examples=examples, missing=f"it is undefined {metric.undefined}", unseen=True)
    asked = gate.confidence or confidence
    if gate.relative_to is None:
        interval = value_interval(metric, candidate, asked, of_class) if asked else None
        return Evidence(value, examples=examples, interval=interval, counted=_counted(metric, [candidate], of_class))
    name = _reference(gate, test_set, members, of_class)
    if name is None:
        if gate.relative_to == CHAMPION:
            return Evidence(value, examples=examples, first_run=True)
        return Evidence(value, examples=examples, missing=f"{gate.relative_to}: no such baseline was scored")
    other = test_set.of(name)[members]
    interval = change_interval(metric, (candidate, other), gate.compare, asked, of_class) if asked else None
    return Evidence(
        value,
        metric.value(other, of_class),
        name.replace("_", " "),
        examples=examples,
        interval=interval,
        counted=_counted(metric, [candidate, other], of_class) if gate.compare == "difference" else None,
    )


def _counted(metric: Metric, models: Sequence[Predictions], of_class: int | None) -> Counted | None:
    """The examples behind a share of one model, or of two on the same examples; None of what is no such share."""
    method = metric.interval
    if not isinstance(method, ShareMethod) or models[0].groups is not None:
        return None
    judged = [method.judged(model, of_class) for model in models]
    if not judged[0].any() or not all((judged[0] == other).all() for other in judged):
        return None
    hits = [method.hits(model, of_class)[judged[0]] for model in models]
    if len(hits) == 1:
        return Share(int(hits[0].sum()), len(hits[0]))
    first, second = hits
    both, neither = int((first & second).sum()), int((~first & ~second).sum())
    return PairedShares(both, int((first & ~second).sum()), int((~first & second).sum()), neither)


def value_interval(
    metric: Metric, predictions: Predictions, confidence: float, of_class: int | None = None
) -> Interval:
    """The interval of one model's metric, by the method of the metric."""
    columns = None if of_class is None else [of_class]
    assert metric.interval is not None, f"{metric.name} is not measured on examples"
    return metric.interval.values(metric, predictions, confidence, columns)[0]


def change_interval(
    metric: Metric, models: Pair, compare: str, confidence: float, of_class: int | None = None
) -> Interval:
    """The interval of the `difference` or `ratio` of two models' metrics on the same examples."""
    assert metric.interval is not None, f"{metric.name} is not measured on examples"
    return metric.interval.change(metric, models, compare, confidence, of_class)


def _reference(gate: GateConfig, test_set: TestSet, members: np.ndarray, of_class: int | None) -> str | None:
    """The model to compare with; of several baselines, the one that is best on these examples."""
    if gate.relative_to != "baseline":
        return gate.relative_to if gate.relative_to in test_set.probabilities else None
    metric = metric_of(gate)
    known = [name for name in BASELINES if name in test_set.probabilities and name != TEACHER]
    values = {name: metric.value(test_set.of(name)[members], of_class) for name in known}
    best = None
    for name, value in values.items():
        best = name if best is None or metric.better(value, values[best]) else best
    return best
