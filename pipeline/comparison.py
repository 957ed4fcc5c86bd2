"""Two runs side by side: what differs in config, data and code, and what their models say of the same examples."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from components.bulk_inferrer.test_set import FOLDER, load_test_set
from evaluation.comparison import compare_answers
from evaluation.evidence import TestSet
from finetune.artifacts.example_list import ExampleList
from finetune.artifacts.report_data import ReportData
from finetune.artifacts.run_comparison import (
    ComparedAnswers,
    ComparedRun,
    Difference,
    RunComparison,
    SplitDifference,
)
from finetune.config import keys
from finetune.errors import ConfigError, RunError, did_you_mean
from pipeline.saved_report import read_report

SPLITS = ("train", "val", "test")
# These say where a model goes and who is told; the data are compared themselves, wherever they lie.
_DECIDE_NOTHING: tuple[str, ...] = (
    "name",
    "output_dir",
    "data.root",
    "tracking",
    "evaluation",
    "serving",
    "push",
    "retrain",
    "keep",
    "notify",
    "beam",
    "kubernetes",
)
# Of these, what does decide.
_DECIDE = ("evaluation.threshold", "evaluation.costs")


def compare_runs(first: Path, second: Path) -> RunComparison:
    """Compares two runs, each given by its folder or by an output folder, of which the latest run is taken.

    What one of them did not come to, or what is gone since, is left out, and said in `warnings`.

    Raises:
        ConfigError: There is no such run, its report cannot be read, or both are the same.
    """
    (one, then), (other, now) = _read(first), _read(second)
    if one.resolve() == other.resolve():
        raise ConfigError(
            [f"RUN RUN: got {str(one)!r} twice; expected two runs. `ls {one.parent}` lists its siblings."]
        )
    warnings: list[str] = []
    config = _facts(_flat(yaml.safe_load(then.config_yaml)), _flat(yaml.safe_load(now.config_yaml)))
    splits = _splits(then, now, warnings)
    code = _facts(_code(then), _code(now))
    if not (then.code and now.code):
        warnings.append("code: an earlier version of ours made one of the runs, and kept no digest of itself")
    decisive = [found.name for found in config if found.decides]
    changed = [*decisive, *(["data"] if any(split.differs for split in splits) else []), *(["code"] if code else [])]
    if len(changed) > 1:
        warnings.insert(0, f"{len(changed)} things changed, so no difference can be put down to one: {_some(changed)}")
    return RunComparison(
        first=_run(one, then),
        second=_run(other, now),
        config=config,
        splits=splits,
        code=code,
        changed=changed,
        warnings=warnings,
        answers=_answers(then, now, warnings),
    )


def _read(run: Path) -> tuple[Path, ReportData]:
    try:
        return read_report(run)
    except RunError as error:
        if run.is_dir():
            raise ConfigError([str(error)]) from None
        siblings = [path.name for path in run.parent.glob("*") if path.is_dir()]
        near = did_you_mean(run.name, siblings)
        there = f"; {run.parent} has {_some(sorted(siblings, reverse=True))}" if siblings and not near else ""
        raise ConfigError(
            [f"RUN: got {str(run)!r}; expected a run's folder, such as runs/flowers/runs/<run id>{there}.{near}"]
        ) from None


def _run(folder: Path, data: ReportData) -> ComparedRun:
    summary = data.summary
    return ComparedRun(run_id=summary.run_id, name=data.title, folder=str(folder), status=summary.status)


def _flat(value: Any, place: tuple[keys.Part, ...] = ()) -> dict[str, str]:
    """Returns what a raw config says, by dotted keys; what is empty or not given is left out."""
    if isinstance(value, dict | list):
        parts = value.items() if isinstance(value, dict) else enumerate(value)
        return {key: text for part, inner in parts for key, text in _flat(inner, (*place, part)).items()}
    return {} if value is None else {keys.join(place): str(value)}


def _facts(first: Mapping[str, str], second: Mapping[str, str]) -> list[Difference]:
    names = [*first, *(name for name in second if name not in first)]
    return [
        Difference(name=name, first=first.get(name), second=second.get(name), decides=decides(name))
        for name in names
        if first.get(name) != second.get(name)
    ]


def decides(key: str) -> bool:
    """Says whether a dotted key of a config has a part in what a model says of an example."""
    return _is_in(key, _DECIDE) or not _is_in(key, _DECIDE_NOTHING)


def _is_in(key: str, sections: tuple[str, ...]) -> bool:
    return any(key == section or key.startswith((f"{section}.", f"{section}[")) for section in sections)


def _code(data: ReportData) -> dict[str, str]:
    ours = {f"code of {name}": digest[:12] for name, digest in data.code.items()}
    weights = data.summary.backbone.sha256 if data.summary.backbone else None
    return {**ours, **data.versions, **({"weights of the backbone": weights[:12]} if weights else {})}


def _splits(then: ReportData, now: ReportData, warnings: list[str]) -> list[SplitDifference]:
    counts = [data.summary.splits for data in (then, now)]
    names = [name for name in SPLITS if any(name in count for count in counts)]
    first, second = (_listed(data) for data in (then, now))
    if first is None or second is None:
        if names:
            warnings.append("data: a run's list of examples is gone or was not kept; only their numbers are compared")
        return [
            SplitDifference(split=name, first=counts[0].get(name, 0), second=counts[1].get(name, 0)) for name in names
        ]
    return [
        SplitDifference(
            split=name,
            first=len(one),
            second=len(other),
            only_first=len(one.keys() - other.keys()),
            only_second=len(other.keys() - one.keys()),
            relabelled=sum(one[key] != other[key] for key in one.keys() & other.keys()),
        )
        for name in names
        for one, other in [(first.get(name, {}), second.get(name, {}))]
    ]


def _listed(data: ReportData) -> dict[str, dict[str, list[str]]] | None:
    """Returns labels by digest and split; None where there is no list of the examples."""
    try:
        found = ExampleList.find(data.artifacts.get("examples"))
    except RunError:
        return None
    if found is None:
        return None
    by_split: dict[str, dict[str, list[str]]] = {}
    for digest, labels, split in zip(found.digests, found.labels, found.splits, strict=True):
        by_split.setdefault(split, {})[digest] = labels
    return by_split


def _answers(then: ReportData, now: ReportData, warnings: list[str]) -> ComparedAnswers | None:
    if then.task != now.task:
        warnings.append(f"metrics: the first run's task is {then.task}, the second's {now.task}")
        return None
    sets = [_test_set(data, which, warnings) for data, which in ((then, "first"), (now, "second"))]
    if sets[0] is None or sets[1] is None:
        return None
    raw = yaml.safe_load(now.config_yaml)
    found = compare_answers(sets[0], sets[1], keys.value_at(raw, "evaluation.costs"))
    if not found.examples:
        warnings.append("metrics: the two test splits have no example in common")
        return None
    if found.only_first or found.only_second:
        alone = f"{found.only_first:,} examples of the first run alone, {found.only_second:,} of the second"
        warnings.append(f"metrics: test splits differ ({alone}); judged on the {found.examples:,} in common")
    if found.relabelled:
        warnings.append(
            f"metrics: {found.relabelled:,} examples have another label in the second run; both are judged by that"
        )
    return found


def _test_set(data: ReportData, which: str, warnings: list[str]) -> TestSet | None:
    place = data.artifacts.get("predictions")
    if place is None:
        warnings.append(
            f"metrics: the {which} run has no predictions of the test split, its status is {data.summary.status}"
        )
    elif not Path(place, FOLDER).is_dir():
        warnings.append(f"metrics: the predictions of the {which} run are gone from {place}")
    elif (found := load_test_set(place)).digests is None:
        warnings.append(f"metrics: an earlier version of ours wrote the predictions of the {which} run, run it again")
    else:
        return found
    return None


def _some(names: list[str], most: int = 5) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
