"""What a frozen encoder costs: 20 epochs of the head on MiniLM, beside one pass of MiniLM over the same messages.

    make bench-frozen-encoder    (python -m benchmarks.frozen_encoder [--phases N] [--folder FOLDER])

The pipeline runs on the SMS Spam Collection, once so that its data are there, then once for each measurement with all
frozen features removed: the Trainer's phase fills them and trains the head for 20 epochs. Passes of the encoder alone
come before and after each, for the machine may have other work.
"""

from __future__ import annotations

import argparse
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from statistics import mean

import finetune  # noqa: F401  (chooses Keras 2)
from benchmarks.flowers import real_data
from benchmarks.multilabel import minilm
from benchmarks.pipeline_runs import examples_of, run_pipeline
from benchmarks.tables import machine, save, spread, table
from finetune.config import BackboneConfig

EPOCHS, BATCH, LENGTH = 20, 32, 128


def main() -> None:
    """Measures and writes the page."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--folder", type=Path, default=Path("runs/benchmarks"))
    arguments.add_argument("--phases", type=int, default=3)
    given = arguments.parse_args()
    folder, described = given.folder.absolute(), machine()
    backbone = minilm(LENGTH)
    config = {
        "name": "frozen_encoder",
        "data": {
            "root": str(real_data() / "text" / "sms_spam.tsv"),
            "layout": "table",
            "columns": ["label", "text"],
        },
        "backbone": backbone,
        "serving": {"measure_seconds": 1},
        "training": {
            "batch_size": BATCH,
            "phases": [
                {
                    "name": "head",
                    "unfreeze": "none",
                    "epochs": EPOCHS,
                    "learning_rate": 1e-3,
                    "early_stopping": {"patience": EPOCHS},
                }
            ],
        },
    }
    place = folder / "frozen-encoder"
    examples = examples_of(run_pipeline(place, config, 0))
    texts = [text for split in ("train", "val") for text in examples[split][0]]
    seconds_of_pass = encoder_pass(BackboneConfig.model_validate(backbone), texts)
    passes, phases = [seconds_of_pass()], []
    for seed in range(1, given.phases + 1):
        shutil.rmtree(place / "run" / "frozen_features")
        phases += run_pipeline(place, config, seed)["phases"]
        passes.append(seconds_of_pass())
    around = [mean(passes[number : number + 2]) for number in range(given.phases)]
    ratios = [phase["seconds"] / seconds for phase, seconds in zip(phases, around, strict=True)]
    rows = [
        (f"one pass of the encoder over {len(texts)} messages, s", spread(passes, 1)),
        (f"the Trainer's phase of {EPOCHS} epochs, s", spread((phase["seconds"] for phase in phases), 1)),
        ("a phase, in passes before and after it", spread(ratios, 2)),
    ]
    text = (
        f"# A frozen encoder\n\n{described}.\n\n{table(('measured', 'median (range)'), rows)}\n\n"
        f"MiniLM, at most {LENGTH} word pieces a message, {BATCH} messages a batch, {given.phases} phases, each from "
        "nothing. `make bench-frozen-encoder` makes this page."
    )
    figures = {"machine": described, "messages": len(texts), "passes": passes, "phases": phases, "ratios": ratios}
    save("frozen_encoder", text, figures)
    print(text)


def encoder_pass(config: BackboneConfig, texts: list[str]) -> Callable[[], float]:
    """Returns what measures one pass over texts whose word pieces are there already, in seconds."""
    import tensorflow as tf

    from trainer_module.backbones.model import build_backbone
    from transforms.piece_vocabulary import read_piece_vocabulary
    from transforms.word_pieces import WordPieces

    pieces = WordPieces(read_piece_vocabulary(config.source))
    batches = [pieces(tf.constant(texts[first : first + BATCH]), LENGTH) for first in range(0, len(texts), BATCH)]
    encode = tf.function(build_backbone(config), autograph=False, reduce_retracing=True)
    for batch in (batches[0], batches[-1]):
        encode(batch)

    def seconds() -> float:
        start = time.monotonic()
        for batch in batches:
            encode(batch)
        return time.monotonic() - start

    return seconds


if __name__ == "__main__":
    main()
