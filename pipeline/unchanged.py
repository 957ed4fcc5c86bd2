"""Whether the answer of an earlier run holds still; then the same command gives it again without TensorFlow.

An answer holds while all that went into its run is as it was (config, code, installed packages, weights, schema, data)
and what it left is where it was: artifacts, and the folder of pushed versions with what waits for approval. Whoever
pushes, approves, rolls back or removes a version changes that folder. A run leaves a `RunBasis` only where its nodes
would answer the same again; whatever is in doubt leaves none, and the nodes run.
"""

from __future__ import annotations

import hashlib
import os
import platform
import site
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from finetune.artifacts.report_data import ReportData
from finetune.artifacts.run_basis import RunBasis
from finetune.artifacts.run_summary import RunSummary
from finetune.buckets import is_bucket
from finetune.config import Config, DataConfig
from finetune.digests import sha256_of
from finetune.errors import DataError, RunError
from finetune.file_stats import contents_of, stats_of
from pipeline.code_digest import installed
from pipeline.data_roots import roots_of
from pipeline.saved_report import REPORT_FILE
from trainer_module.backbones.sources import source_of

DATA_BYTES = "bytes of the data"


@dataclass(frozen=True)
class Inputs:
    """What goes into a run.

    Attributes:
        digests: Of each thing, by its name; of the data's bytes only where they were asked for.
        outside: Digest of paths, sizes and times of the data.
        settled: Whether a change from now on would show in them.
    """

    digests: Mapping[str, str]
    outside: str
    settled: bool


def inputs_of(config: Config, with_bytes: bool) -> Inputs:
    """Looks at all that goes into a run of a config; the bytes of the data are read `with_bytes` only."""
    now = time.time_ns()
    in_buckets = is_bucket(config.data.root) or is_bucket(config.push_path)
    taught = config.training.distillation
    unlabelled = [Path(taught.unlabelled)] if taught and taught.unlabelled else []
    source_task = [Path(config.evaluation.source_task)] if config.evaluation.source_task else []
    roots = [] if in_buckets else [*_roots(config.data), *unlabelled, *source_task]
    data = [stats_of(root) for root in roots]
    schema, corrections, log = config.data.schema_file, config.data.corrections, config.data.serving_log
    digests = {
        "config": _digest(config.to_yaml(), str(Path.cwd()), str(config.output_path), str(config.push_path)),
        "code": installed().bytes_digest(),
        "environment": _digest(platform.python_version(), os.environ.get("PYTHONPATH", ""), *_distributions()),
        "weights": source_of(config.backbone).digest(config.backbone) or "",
        "schema": (sha256_of(Path(schema)) or "") if schema else "",
        "corrections": (sha256_of(Path(corrections)) or "") if corrections else "",
        "teacher": (sha256_of(Path(taught.teacher)) or "") if taught else "",
        "serving_log": (sha256_of(Path(log)) or "") if log else "",
        "data": _digest(*map(str, roots), *(each.digest for each in data)),
    }
    if with_bytes and not in_buckets:
        digests[DATA_BYTES] = _digest(*map(contents_of, roots))
    outside = _digest(*map(str, roots), *(each.outside for each in data))
    # What another machine holds is not looked at.
    settled = not in_buckets and bool(data) and all(each.settled(now) for each in data)
    return Inputs(digests, outside, settled)


def changed(then: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """Names what is not as it was then; what was not looked at then counts, what is not looked at now does not."""
    return [name for name, digest in now.items() if then.get(name) != digest]


def held_answer(config: Config, inputs: Inputs) -> RunSummary | None:
    """Returns the summary of the latest run whose answer holds still; None if the nodes have to run.

    Where its components are told, they are taken from the cache.
    """
    if not inputs.settled or not config.metadata_path.is_file():
        return None
    for run, basis in _bases(config):
        if not changed(basis.inputs, inputs.digests) and _stands(config, run, basis):
            try:
                return RunSummary.read(run)
            except RunError:
                continue  # It is damaged.
    return None


def changed_unseen(config: Config, inputs: Inputs) -> bool:
    """Tells whether the data have changed since the latest run, and all paths, sizes and times are the same.

    Files were replaced by others of the same size and time, or only their modes or owners changed.
    """
    _, latest = next(_bases(config), (None, None))
    return latest is not None and latest.outside == inputs.outside and latest.inputs["data"] != inputs.digests["data"]


def remember(
    config: Config, run_dir: Path, before: Inputs, pushed: str, outputs: Mapping[str, Mapping[str, Any]]
) -> None:
    """Leaves the basis of a run, unless something that goes into it changed on the way.

    Args:
        config: Of the run.
        run_dir: Its folder.
        before: What went in, as it was before the first node.
        pushed: What was said of the folder of pushed versions when the summary was collected.
        outputs: The artifacts of each node that has ended, by output name.
    """
    after = inputs_of(config, with_bytes=False)
    if before.settled and not changed(before.digests, after.digests) and pushed == stats_of(config.push_path).digest:
        folders = sorted({artifact.uri for found in outputs.values() for artifact in found.values()})
        RunBasis(inputs=dict(before.digests), outside=before.outside, pushed=pushed, artifacts=folders).write(run_dir)


def _roots(data: DataConfig) -> list[Path]:
    """The root, or that of each span in the window; none where none can be read, which the ingest tells."""
    try:
        return [Path(root) for root in roots_of(data)]
    except DataError:
        return []


def _bases(config: Config) -> Iterator[tuple[Path, RunBasis]]:
    """Yields the folder and the basis of each run that left one, the latest first."""
    for run in sorted((config.output_path / "runs").glob("*"), reverse=True):
        try:
            basis = RunBasis.find(run)
        except RunError:
            continue  # It was written by another version, or damaged.
        if basis:
            yield run, basis


def _stands(config: Config, run: Path, basis: RunBasis) -> bool:
    """Tells whether what a run left is where it was, and as it was."""
    files = (run / REPORT_FILE, ReportData.path(run))
    return (
        all(file.is_file() for file in files)
        and all(Path(uri).is_dir() for uri in basis.artifacts)
        and stats_of(config.push_path).digest == basis.pushed
    )


def _distributions() -> list[str]:
    """The installed packages by name and version, such as `tfx-1.16.0.dist-info`."""
    return sorted(found.name for place in site.getsitepackages() for found in Path(place).glob("*.dist-info"))


def _digest(*texts: str) -> str:
    return hashlib.sha256("\0".join(texts).encode(errors="surrogateescape")).hexdigest()
