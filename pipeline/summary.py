"""What a run did, collected from MLMD and its artifacts: the summary for scripts and the data for the report."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata as packages
from pathlib import Path
from typing import Any

from components.bulk_inferrer.component import RESULT_FILE
from components.gate_keeper.component import VERDICT_FILE
from components.pusher import component as pusher
from components.serving_gate import component as serving_gate
from finetune.config import Config
from pipeline.plan import ingest_node_id
from registry.approval import published_version
from registry.versions import served_instead
from trainer_module.backbones.sources import origin_of, record_of, source_of
from trainer_module.recipe import HISTORY_FILE

SCHEMA_VERSION = 1
# Of the verdict, what the report shows beside the gates.
EVALUATION_KEYS = ("examples", "metrics", "classes", "slices", "slices_left_out", "reliability")
_VERSIONED = ("tfx", "tensorflow", "tf-keras", "tensorflow-transform", "tensorflow-model-analysis", "apache-beam")


@dataclass(frozen=True)
class Collected:
    """The summary, and all that the report shows."""

    summary: dict[str, Any]
    report_data: dict[str, Any]


def collect(
    config: Config,
    run_id: str,
    run_dir: Path,
    outputs: Mapping[str, Mapping[str, Any]],
    components: Sequence[dict[str, Any]],
    seconds: float,
    error: str | None,
) -> Collected:
    """Collects what the run left behind; parts that a failed run did not reach are empty.

    Args:
        config: Of the run.
        run_id: TFX's pipeline run id.
        outputs: MLMD's output artifacts of each node that succeeded, by output name.
        run_dir: Where summary, report and log are written.
        components: Of each node that ended, `id`, `seconds` and `state`.
        seconds: Wall time of the run.
        error: Why the run failed; None if it did not.
    """
    ingest = _read_json(outputs, ingest_node_id(config), "examples", "ingest_report.json")
    history = _read_json(outputs, "Trainer", "model_run", HISTORY_FILE)
    tested = _read_json(outputs, "TestPredictor", "predictions", RESULT_FILE)
    verdict = _read_json(outputs, "GateKeeper", "verdict", VERDICT_FILE)
    measured = verdict.get("metrics", {})
    serving = _read_json(outputs, "ServingGate", "findings", serving_gate.RESULT_FILE)
    pushed_model, pending_model = _pushed(config, outputs.get("Pusher", {}).get("pushed_model"))
    if error is None and pushed_model and not Path(pushed_model).is_dir():
        error = (
            f"push.directory: the version of this model, {pushed_model}, was pushed by an earlier run and is gone. "
            "Put it back, or change training.seed to train and push a new one."
        )
    summary = {
        "schema_version": SCHEMA_VERSION,
        "run_id": run_id,
        "name": config.name,
        "status": "failed" if error else "pushed" if pushed_model else "pending" if pending_model else "refused",
        "error": error,
        "pushed_model": pushed_model or None if not error else None,
        "served_instead": str(other) if (other := pushed_model and served_instead(Path(pushed_model))) else None,
        "pending_model": pending_model or None if not error else None,
        "metrics": {name: found["value"] for name, found in measured.items()},
        "champion_metrics": {name: found["champion"] for name, found in measured.items() if "champion" in found}
        or None,
        "baselines": verdict.get("baselines", {}),
        "gates": verdict.get("gates", []),
        "report_only": verdict.get("report_only", False),
        "serving": {"metrics": serving.get("metrics", {}), "champion_metrics": serving.get("champion_metrics")},
        "phases": history.get("phases", []),
        "mlflow_run": history.get("mlflow_run") or None,
        "components": list(components),
        "splits": {name: split["examples"] for name, split in ingest.get("splits", {}).items()},
        "modality": record_of(config.backbone).modality,
        "backbone": history.get("backbone") or _backbone(config),
        "output_dir": str(config.output_path),
        "report": str(run_dir / "report.html"),
        "log_file": str(run_dir / "log.txt"),
        "seconds": round(seconds, 2),
    }
    predictions = outputs.get("TestPredictor", {}).get("predictions")
    report_data = {
        "title": config.name,
        "summary": summary,
        "curves": history.get("curves", []),
        "classes": tested.get("classes", []),
        "confusion": tested.get("confusion", []),
        "per_class": tested.get("per_class", []),
        "evaluation": {key: verdict[key] for key in EVALUATION_KEYS if key in verdict},
        "samples": [
            {**sample, "image": str(Path(predictions.uri) / sample["image"])}
            if predictions and "image" in sample
            else sample
            for sample in tested.get("samples", [])
        ],
        "latency_ms": serving.get("milliseconds", {}),
        "ingest": ingest,
        "config_yaml": config.to_yaml(),
        "versions": {"python": platform.python_version(), **{name: packages.version(name) for name in _VERSIONED}},
    }
    return Collected(summary, report_data)


def _pushed(config: Config, artifact: Any | None) -> tuple[str, str]:
    """The folder of the pushed version, and that of the model that waits for approval; "" where there is none."""
    if artifact is None:
        return "", ""
    properties = artifact.custom_properties
    destination, waiting = (properties[name].string_value for name in ("pushed_destination", pusher.PENDING_MODEL))
    if waiting and not Path(waiting).is_dir():
        # Approved since: the Pusher was served from the cache.
        destination = str(published_version(config.push_path, properties[pusher.MODEL_SHA256].string_value) or waiting)
        waiting = ""
    return destination, waiting


def _read_json(outputs: Mapping[str, Mapping[str, Any]], node: str, output: str, file_name: str) -> dict[str, Any]:
    artifact = outputs.get(node, {}).get(output)
    path = Path(artifact.uri) / file_name if artifact else None
    return json.loads(path.read_text(encoding="utf-8")) if path and path.is_file() else {}


def _backbone(config: Config) -> dict[str, Any]:
    """What is known without the Trainer, which also has the digest of what it downloaded."""
    return {**origin_of(config.backbone), "sha256": source_of(config.backbone).digest(config.backbone)}
