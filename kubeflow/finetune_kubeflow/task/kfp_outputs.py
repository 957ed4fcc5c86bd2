"""What KFP's interface shows of a run: files and metadata of a task's output artifacts, as kfp's SDK leaves them.

The image of a task has no SDK. KFP's launcher takes each artifact from the path that its URI stands for, and its
metadata from the file that the executor input names.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

# Where the launcher looks for what belongs to a URI.
_MOUNTS = {"gs://": "/gcs/", "minio://": "/minio/", "s3://": "/s3/"}


@dataclass(frozen=True)
class Shown:
    """An output artifact: its file, and its metadata; without metadata of its own, KFP has none."""

    text: str
    metadata: Mapping[str, Any] = field(default_factory=dict)


def write_outputs(executor_input: str, shown: Mapping[str, Shown]) -> None:
    """Writes output artifacts and what the launcher reads of them.

    Args:
        executor_input: JSON of KFP's ExecutorInput, what it puts in place of `{{$}}`.
        shown: By the name of the output.
    """
    outputs = json.loads(executor_input)["outputs"]
    told = {}
    for name, found in outputs.get("artifacts", {}).items():
        (artifact,) = found["artifacts"]
        path = path_of(artifact["uri"])
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(shown[name].text, encoding="utf-8", errors="backslashreplace")
        metadata = {**artifact.get("metadata", {}), **shown[name].metadata}
        told[name] = {"artifacts": [{"name": artifact.get("name", ""), "uri": artifact["uri"], "metadata": metadata}]}
    file = Path(outputs["outputFile"])
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps({"artifacts": told}), encoding="utf-8")


def path_of(uri: str) -> Path:
    """Returns the path in the pod that a URI stands for; one that is a path already, without a cluster, stays."""
    return next((Path(mount + uri[len(kind) :]) for kind, mount in _MOUNTS.items() if uri.startswith(kind)), Path(uri))


def metrics(values: Mapping[str, float]) -> Shown:
    """Returns numbers as `Metrics` has them; KFP takes none that are not finite."""
    return Shown("", {name: value for name, value in values.items() if math.isfinite(value)})


def confusion_matrix(classes: Sequence[str], counts: Sequence[Sequence[int]]) -> Shown:
    """Returns counts by class (row) and prediction (column) as `ClassificationMetrics` has them; none for no class."""
    matrix = {
        "annotationSpecs": [{"displayName": name} for name in classes],
        "rows": [{"row": list(row)} for row in counts],
    }
    return Shown("", {"confusionMatrix": matrix} if classes and counts else {})
