"""Runs of the whole pipeline, and what they ingested."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from benchmarks.flowers import ROOT


def run_pipeline(folder: Path, config: dict[str, Any], seed: int) -> dict[str, Any]:
    """Runs the pipeline in a process of its own; returns its summary."""
    folder.mkdir(parents=True, exist_ok=True)
    file, summary = folder / "config.yaml", folder / f"summary-{seed}.json"
    file.write_text(yaml.safe_dump({**config, "output_dir": str(folder / "run")}, sort_keys=False))
    command = [sys.executable, "-m", "finetune_cli.main", "run", str(file), f"training.seed={seed}"]
    summary.unlink(missing_ok=True)
    ended = subprocess.run([*command, "--summary", str(summary)], cwd=ROOT, check=False)
    if not summary.is_file():
        sys.exit(f"seed {seed}: the run ended with exit code {ended.returncode} before it had a summary; see above")
    found = json.loads(summary.read_text())
    if found["status"] == "failed":
        sys.exit(f"seed {seed}: {found['error']}")
    return found


def examples_of(summary: dict[str, Any]) -> dict[str, tuple[list[str], np.ndarray]]:
    """Reads what a run ingested: texts of each split, and their labels, bool [examples, labels]."""
    import tensorflow as tf

    from finetune.config import load_config
    from pipeline.metadata_connection import sqlite_connection
    from pipeline.plan import ingest_node_id
    from pipeline.run_metadata import RunMetadata
    from transforms.records import read_records

    output = Path(summary["output_dir"])
    config = load_config(output.parent / "config.yaml")
    metadata = RunMetadata(sqlite_connection(config.metadata_path), summary["run_id"])
    folder = Path(metadata.outputs()[ingest_node_id(config)]["examples"].uri)
    rows: dict[str, list[tuple[str, list[str]]]] = {}
    for split in ("train", "val", "test"):
        files = sorted(map(str, folder.glob(f"Split-{split}/*")))
        for record in read_records(files).as_numpy_iterator():
            feature = tf.train.Example.FromString(record).features.feature
            labels = [label.decode() for label in feature["label"].bytes_list.value]
            rows.setdefault(split, []).append((feature["text"].bytes_list.value[0].decode(), labels))
    names = sorted({label for _, labels in rows["train"] for label in labels})
    return {
        split: (
            [text for text, _ in found],
            np.array([[name in labels for name in names] for _, labels in found]),
        )
        for split, found in rows.items()
    }
