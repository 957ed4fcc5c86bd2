"""Peak memory of training on synthetic pictures, 600 and 6,000 of them, with a budget that neither fits.

python -m benchmarks.memory [--folder FOLDER]
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
from pathlib import Path

from benchmarks.compare import phases
from benchmarks.flowers import CLASSES, SIZE
from benchmarks.tables import machine, save, table
from benchmarks.training import run_trainer
from finetune.files import replacing

COUNTS = (600, 6000)


def synthetic(folder: Path, count: int) -> dict[str, list[str]]:
    """Writes noise as transformed examples: `count` to train on, 60 to validate on."""
    import numpy as np
    import tensorflow as tf

    found = {}
    for name, examples in (("train", count), ("val", 60)):
        path = folder / f"synthetic-{name}-{examples}.gz"
        found[name] = [str(path)]
        if path.is_file():
            continue
        random = np.random.default_rng(examples)
        # Noise does not compress; the quickest level writes it four times as fast.
        options = tf.io.TFRecordOptions(compression_type="GZIP", compression_level=1)
        with replacing(path) as unfinished, tf.io.TFRecordWriter(str(unfinished), options) as writer:
            for number in range(examples):
                pixels = tf.io.serialize_tensor(random.integers(0, 256, (SIZE, SIZE, 3), np.uint8)).numpy()
                key = hashlib.sha256(f"{name} {number}".encode()).hexdigest().encode()
                feature = {
                    "pixels": tf.train.Feature(bytes_list=tf.train.BytesList(value=[pixels])),
                    "label_index": tf.train.Feature(int64_list=tf.train.Int64List(value=[number % len(CLASSES)])),
                    "key": tf.train.Feature(bytes_list=tf.train.BytesList(value=[key])),
                }
                writer.write(tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString())
    return found


def main() -> None:
    """Trains on each number of pictures with a budget of 1 MB, and writes the table."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--folder", type=Path, default=Path("runs/benchmarks"))
    folder = arguments.parse_args().folder.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    described, runs = machine(), []
    for count in COUNTS:
        shutil.rmtree(folder / "frozen_features", ignore_errors=True)
        training = {"frozen_features": "on", "memory_mb": 1, "phases": phases(2, 1)}
        found = run_trainer(folder, training, files=synthetic(folder, count))
        runs.append({"pictures": count, **{key: found[key] for key in ("peak_mb", "disk_mb", "seconds", "phases")}})
        print(json.dumps(runs[-1]), flush=True)
    rows = [
        (run["pictures"], f"{run['peak_mb']:,}", f"{run['disk_mb']:,.1f}", f"{run['seconds']:.1f}", _places(run))
        for run in runs
    ]
    head = ("synthetic pictures", "peak memory, MB", "cache on disk, MB", "seconds", "phases read from")
    text = (
        f"# Memory\n\n{described}.\n\n`training.memory_mb: 1`, MobileNetV2 0.35 at 224 pixels, 2 + 1 epochs, the cache "
        f"filled from empty.\n\n{table(head, rows)}\n\n`python -m benchmarks.memory` makes this page."
    )
    save("memory", text, {"machine": described, "runs": runs})


def _places(run: dict) -> str:
    return ", ".join(phase["frozen_features"]["train"] for phase in run["phases"])


if __name__ == "__main__":
    main()
