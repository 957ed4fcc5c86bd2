"""Reads back what TFX's Evaluator measured."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import tensorflow_model_analysis as tfma

from components.evaluator.eval_config import CANDIDATE, CHAMPION
from evaluation.gates import Metrics, SliceKey
from evaluation.metrics import METRICS


def read_metrics(evaluation_uri: str) -> tuple[Metrics, Metrics | None]:
    """Returns the metrics of candidate and champion by slice; None in place of a champion that was not there.

    Args:
        evaluation_uri: Folder of a ModelEvaluation artifact.
    """
    by_model: dict[str, dict[SliceKey, dict[str, float]]] = {}
    for record in tfma.load_metrics(evaluation_uri):
        key = tuple(sorted((single.column, _slice_value(single)) for single in record.slice_key.single_slice_keys))
        for entry in record.metric_keys_and_values:
            if entry.key.is_diff or entry.key.name not in METRICS or entry.value.WhichOneof("type") != "double_value":
                continue
            model = by_model.setdefault(entry.key.model_name or CANDIDATE, {})
            model.setdefault(key, {})[entry.key.name] = entry.value.double_value.value
    return by_model.get(CANDIDATE, {}), by_model.get(CHAMPION)


def _slice_value(single: Any) -> str:
    kind = single.WhichOneof("kind")
    value = getattr(single, kind)
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def tfma_failures(evaluation_uri: str) -> list[str]:
    """What TFMA's thresholds refused, a clause each.

    Args:
        evaluation_uri: Folder of a ModelEvaluation artifact.
    """
    if not list(Path(evaluation_uri).glob("validations*")):
        return []
    validation = tfma.load_validation_result(evaluation_uri)
    failures = [
        f"{failure.metric_key.name} is {failure.metric_value.double_value.value:.4f}{_where(part.slice_key)}"
        for part in validation.metric_validations_per_slice
        for failure in part.failures
    ]
    missing = [
        ", ".join(f"{column}={value}" for column, value in spec.feature_values.items())
        for spec in validation.missing_slices
    ]
    return failures + [f"there is no example with {where}" for where in missing]


def _where(slice_key: Any) -> str:
    cells = [f"{single.column}={_slice_value(single)}" for single in slice_key.single_slice_keys]
    return f" on {', '.join(cells)}" if cells else ""
