"""Boxes around blood cells: what is found on the test split, beside the same network from random weights.

    python -m benchmarks.detection [FOLDER]

The config is `configs/detection.yaml`, whose settings were chosen on the validation split; the test split is looked at
once, by the pipeline's own gates. A run goes on after a kill.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.flowers import real_data, weights_file
from benchmarks.tables import machine, save, table
from finetune.artifacts.findings import Interval, Measured, Verdict
from finetune.artifacts.training_history import TrainingHistory
from finetune.config import load_config
from pipeline.checks import LOCAL_CHECKS
from pipeline.local import run_pipeline

CONFIG = Path(__file__).parents[1] / "configs" / "detection.yaml"
FOLDER = Path("runs/benchmarks/detection")
METRICS = ("box_map_50", "box_map", "box_map_75", "box_map_small", "box_map_medium", "box_map_large")


def main() -> None:
    """Runs the pipeline, and writes `benchmarks/results/detection.json` and a table."""
    folder = Path(sys.argv[1]).absolute() if len(sys.argv) > 1 else FOLDER.absolute()
    overrides = [
        f"output_dir={folder}",
        f"data.root={real_data() / 'images' / 'bccd'}",
        f"backbone.weights={weights_file()}",
        "evaluation.baselines=[majority, from_scratch]",
    ]
    verdict, found = run_beside_scratch(CONFIG, overrides)
    seconds = found["seconds"]
    scratch = verdict.baselines.get("from_scratch", {})
    rows = [
        [name, shown(verdict.metrics.get(name)), f"{scratch[name]:.3f}" if name in scratch else ""] for name in METRICS
    ]
    rows += [
        [f"box_map_50 of {one.name}, in {one.examples} pictures", shown(one.metrics.get("box_map_50")), ""]
        for one in verdict.classes
    ]
    found["from_scratch"] = scratch
    head = f"# Boxes around blood cells\n\n{machine()}.\n"
    told = (
        f"`configs/detection.yaml` on {verdict.examples} test pictures, one seed, 95 % intervals. The Trainer took "
        f"{seconds['Trainer']} s, from random weights {seconds['ScratchTrainer']} s.\n"
    )
    text = "\n".join([head, told, table(("metric", "test split", "from scratch"), rows)])
    save("detection", text, {"machine": machine(), "found": found})


def run_beside_scratch(config_file: Path, overrides: Sequence[str]) -> tuple[Verdict, dict[str, Any]]:
    """Runs a pipeline that has the baseline `from_scratch`; returns its verdict, and figures of it for a file."""
    config = load_config(config_file, overrides, checks=LOCAL_CHECKS)
    summary = run_pipeline(config)
    artifacts = config.output_path / "artifacts"
    verdict = Verdict.read(newest(artifacts / "GateKeeper" / "verdict"))
    histories = {
        node: TrainingHistory.read(newest(artifacts / node / "model_run")) for node in ("Trainer", "ScratchTrainer")
    }
    return verdict, {
        "metrics": {name: each.model_dump(mode="json") for name, each in verdict.metrics.items()},
        "status": summary.status,
        "seconds": {node: round(sum(phase.seconds for phase in each.phases)) for node, each in histories.items()},
        "examples": verdict.examples,
        "phases": [phase.model_dump(mode="json") for phase in summary.phases],
    }


def newest(folder: Path) -> Path:
    """Returns the folder of the latest version of an output."""
    return max(folder.iterdir(), key=lambda version: int(version.name))


def shown(measured: Measured | None) -> str:
    """Writes a value and its interval, as far as there are some."""
    if measured is None or measured.value is None:
        return ""
    interval: Interval | None = measured.interval
    return f"{measured.value:.3f}" + (f" ({interval.low:.3f} to {interval.high:.3f})" if interval else "")


if __name__ == "__main__":
    main()
