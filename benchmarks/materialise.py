"""What Transform should leave for the Trainer: raw pixels, PNG, or nothing, so that the Trainer decodes by itself.

    python -m benchmarks.materialise [--folder FOLDER]

Each form of the 600 pictures of train/ is written as Transform writes it, a gzipped TFRecord file, and read as the
Trainer reads it, in parallel, three times.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import finetune  # noqa: F401  (chooses Keras 2)
from benchmarks.flowers import SIZE, pictures
from benchmarks.tables import machine, save, table

REPETITIONS = 3


def main() -> None:
    """Measures all forms and writes the table."""
    import tensorflow as tf

    from transforms.image import decode, parse_pixels, resize

    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--folder", type=Path, default=Path("runs/benchmarks"))
    folder = arguments.parse_args().folder.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    described = machine()
    files = [path.read_bytes() for path in pictures("train")]

    def whole(encoded: tf.Tensor) -> tf.Tensor:
        return resize(decode(encoded), SIZE)

    forms: dict[str, tuple[Callable, Callable]] = {
        "raw uint8 (the default)": (
            lambda encoded: tf.io.serialize_tensor(whole(encoded)),
            lambda value: parse_pixels(value, SIZE),
        ),
        "PNG": (
            lambda encoded: tf.io.encode_png(whole(encoded)),
            lambda value: tf.ensure_shape(tf.io.decode_png(value, channels=3), [SIZE, SIZE, 3]),
        ),
        "not materialised (JPEG as ingested)": (lambda encoded: encoded, whole),
    }
    figures, rows = {}, []
    for name, (make, read) in forms.items():
        path = folder / "materialised.gz"
        written = []
        for _ in range(REPETITIONS):
            start = time.monotonic()
            _write(tf, path, tf.data.Dataset.from_tensor_slices(files).map(make, num_parallel_calls=tf.data.AUTOTUNE))
            written.append(time.monotonic() - start)
        opened, epochs = [], []
        for _ in range(REPETITIONS):
            start = time.monotonic()
            held = list(tf.data.TFRecordDataset(str(path), "GZIP").as_numpy_iterator())
            opened.append(time.monotonic() - start)
            batches = tf.data.Dataset.from_tensor_slices(held).map(read, num_parallel_calls=tf.data.AUTOTUNE).batch(32)
            start = time.monotonic()
            for _batch in batches.prefetch(tf.data.AUTOTUNE):
                pass
            epochs.append(time.monotonic() - start)
        found = {
            "bytes": path.stat().st_size,
            "held_bytes": sum(map(len, held)),
            "write_s": median(written),
            "open_s": median(opened),
            "epoch_s": median(epochs),
        }
        figures[name] = found
        rows.append(
            (
                name,
                f"{found['bytes'] / 1e6:.1f}",
                f"{found['held_bytes'] / 1e6:.1f}",
                *(f"{found[key]:.2f}" for key in ("write_s", "open_s", "epoch_s")),
            )
        )
        path.unlink()
    head = ("form", "on disk, MB", "in memory, MB", "making and writing, s", "opening, s", "each epoch, s")
    text = (
        f"# What Transform leaves\n\n{described}.\n\n{len(files)} pictures at {SIZE} pixels, median of "
        f"{REPETITIONS}.\n\n{table(head, rows)}\n\n`python -m benchmarks.materialise` makes this page."
    )
    save("materialise", text, {"machine": described, "forms": figures})
    print(text)


def _write(tf: Any, path: Path, values: Any) -> None:
    options = tf.io.TFRecordOptions(compression_type="GZIP")
    with tf.io.TFRecordWriter(str(path), options) as writer:
        for value in values.as_numpy_iterator():
            writer.write(value)


if __name__ == "__main__":
    main()
