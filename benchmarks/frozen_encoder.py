"""What a frozen encoder costs: 20 epochs of the head on MiniLM, beside one pass of MiniLM over the same messages.

    make bench-frozen-encoder    (python -m benchmarks.frozen_encoder [--folder FOLDER])

The pipeline runs on the SMS Spam Collection. The Trainer's phase fills what it keeps of the encoder and trains the head
for 20 epochs; the passes are those of the encoder alone, right after it.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from statistics import median

import finetune  # noqa: F401  (chooses Keras 2)
from benchmarks.flowers import real_data
from benchmarks.minilm import LENGTH, minilm
from benchmarks.pipeline_runs import examples_of, run_pipeline
from benchmarks.tables import machine, save, spread, table

EPOCHS, BATCH, REPETITIONS = 20, 32, 3


def main() -> None:
    """Measures and writes the page."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--folder", type=Path, default=Path("runs/benchmarks"))
    folder, described = arguments.parse_args().folder.absolute(), machine()
    encoder, preprocessor = minilm(folder)
    config = {
        "name": "frozen_encoder",
        "data": {
            "root": str(real_data() / "text" / "sms_spam.tsv"),
            "layout": "table",
            "columns": ["label", "text"],
        },
        "backbone": {"handle": str(encoder), "modality": "text", "text": {"preprocessor": str(preprocessor)}},
        "training": {
            "batch_size": BATCH,
            "phases": [{"name": "head", "unfreeze": "none", "epochs": EPOCHS, "learning_rate": 1e-3}],
        },
    }
    summary = run_pipeline(folder / "frozen-encoder", config, 1)
    examples = examples_of(summary)
    texts = [text for split in ("train", "val") for text in examples[split][0]]
    passes = encoder_passes(encoder, preprocessor, texts)
    (phase,) = summary["phases"]
    rows = [
        (f"one pass of the encoder over {len(texts)} messages, s", spread(passes, 1)),
        (f"the Trainer's phase of {phase['epochs']} epochs, with what fills it, s", f"{phase['seconds']:.1f}"),
        ("the phase in passes", f"{phase['seconds'] / median(passes):.2f}"),
    ]
    text = (
        f"# A frozen encoder\n\n{described}.\n\n{table(('measured', 'median (range)'), rows)}\n\n"
        f"MiniLM, at most {LENGTH} word pieces a message, {BATCH} messages a batch, {REPETITIONS} passes. "
        "`make bench-frozen-encoder` makes this page."
    )
    save("frozen_encoder", text, {"machine": described, "passes": passes, "messages": len(texts), "phase": phase})
    print(text)


def encoder_passes(encoder: Path, preprocessor: Path, texts: list[str]) -> list[float]:
    """Returns the seconds of each pass of the encoder over texts whose word pieces are there already."""
    import tensorflow as tf
    import tensorflow_hub as hub

    pieces = hub.load(str(preprocessor))
    batches = [pieces(tf.constant(texts[first : first + BATCH])) for first in range(0, len(texts), BATCH)]
    encode = tf.function(hub.load(str(encoder)), autograph=False, reduce_retracing=True)
    for batch in (batches[0], batches[-1]):
        encode(batch)
    passes = []
    for _ in range(REPETITIONS):
        start = time.monotonic()
        for batch in batches:
            encode(batch)
        passes.append(time.monotonic() - start)
    return passes


if __name__ == "__main__":
    main()
