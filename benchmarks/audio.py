"""Spoken digits of speakers that were not trained on: YAMNet fine-tuned, as it is, and a network from scratch.

    make bench-audio        (python -m benchmarks.audio [--folder FOLDER] [--arm ARM])

Each of the six speakers is tested on once, two at a time; the one after them is what val holds, and the other three
are trained on. Which epoch is kept is chosen on val, the penalty of the regression by cross-validation. Ingest and
Transform run once, then the product's Trainer for each pair and arm; what it exports answers to the bytes of the tested
WAV files. What was measured is not measured again.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np

import finetune  # noqa: F401  (chooses Keras 2)
from benchmarks.flowers import real_data
from benchmarks.tables import earlier, machine, save, table
from components.example_gen.sounds import to_wav

FOLDER = Path("runs/benchmarks/audio")
FRAMES, BANDS = 96, 64
BATCH = 64
# Speakers of a test split.
TESTED = 2
# As SpecAugment has it for small data, in proportion to patches of 96 frames and 64 bands; and a microphone elsewhere.
CHANGES = {"time_shift": 0.1, "gain_db": 6, "time_mask": 10, "band_mask": 8}
ALL_LAYERS = {
    "unfreeze": "all",
    "optimizer": {"name": "adamw"},
    "schedule": {"name": "cosine", "warmup_epochs": 1},
    "early_stopping": None,
}


def main() -> None:
    """Measures what was not measured yet, and writes the page."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--arm", choices=ARMS, action="append")
    arguments.add_argument("--folder", type=Path, default=FOLDER)
    given = arguments.parse_args()
    folder, described = given.folder.absolute(), machine()
    found: dict[str, dict[str, Any]] = earlier("audio", {})
    made = transformed(folder)
    names = speakers()
    for first in range(0, len(names), TESTED):
        tested = names[first : first + TESTED]
        for arm in given.arm or ARMS:
            if "+".join(tested) not in found.get(arm, {}):
                run = measured(ARMS[arm](folder), tested, made, folder / "work")
                found.setdefault(arm, {})["+".join(tested)] = {"machine": described, **run}
                save("audio", page(found), found)
    print(page(found))


def recordings() -> list[dict[str, str]]:
    """Returns the rows of the data's own manifest."""
    with (real_data() / "audio" / "spoken_digits" / "manifest.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def speakers() -> list[str]:
    """Returns the names of all speakers, sorted."""
    return sorted({row["speaker"] for row in recordings()})


def splits_of(tested: list[str]) -> dict[str, list[str]]:
    """Returns the speakers of train, val and test: the next after the tested ones is for val, the others for train."""
    names = speakers()
    val = names[(names.index(tested[-1]) + 1) % len(names)]
    return {"train": [name for name in names if name not in (*tested, val)], "val": [val], "test": tested}


def fine_tuned(folder: Path) -> dict[str, Any]:
    """YAMNet, all of it tuned from a head that was fitted."""
    phase = {**ALL_LAYERS, "name": "fine_tune", "epochs": 6, "learning_rate": 5e-4}
    return {
        "backbone": yamnet(),
        "augmentation": CHANGES,
        "training": {"head": {"start": "fitted"}, "label_smoothing": 0.1, "phases": [phase]},
    }


def frozen(folder: Path) -> dict[str, Any]:
    """Logistic regression on what YAMNet gives, which is the product's fitted head alone."""
    return {"backbone": yamnet(), "augmentation": {}, "training": {"head": {"start": "fitted"}, "phases": []}}


def from_scratch(folder: Path) -> dict[str, Any]:
    """A convolutional network of a size that digits need, from random weights."""
    file = folder / "scratch.keras"
    if not file.is_file():
        scratch_network().save(file)
    phase = {**ALL_LAYERS, "name": "from_scratch", "epochs": 20, "learning_rate": 2e-3}
    return {
        "backbone": of_patches(file),
        "augmentation": CHANGES,
        "training": {"batch_norm": "train", "head": {"units": [], "dropout": 0.3}, "phases": [phase]},
    }


ARMS: dict[str, Callable[[Path], dict[str, Any]]] = {
    "fine-tuned": fine_tuned,
    "regression on frozen features": frozen,
    "from scratch": from_scratch,
}


def yamnet() -> dict[str, Any]:
    """Returns the section `backbone`."""
    return of_patches(real_data() / "weights" / "yamnet_log_mel_no_top.h5")


def of_patches(file: Path) -> dict[str, Any]:
    """Returns the section `backbone` of a file; few digits last longer than one patch."""
    return {"file": str(file), "modality": "audio", "audio": {"max_patches": 1}}


def scratch_network() -> Any:
    """Builds four blocks of convolution, BatchNorm and pooling on log-mel patches, 98,000 parameters."""
    import tf_keras as keras

    keras.utils.set_random_seed(1)
    x = log_mel = keras.Input((FRAMES, BANDS, 1), name="patch")
    for number, filters in enumerate((16, 32, 64, 128), start=1):
        x = keras.layers.Conv2D(filters, 3, padding="same", use_bias=False, name=f"block{number}_conv")(x)
        x = keras.layers.BatchNormalization(name=f"block{number}_norm")(x)
        x = keras.layers.ReLU(name=f"block{number}_relu")(x)
        x = keras.layers.MaxPooling2D(name=f"block{number}_pool")(x)
    return keras.Model(log_mel, x, name="scratch")


def transformed(folder: Path) -> dict[str, str]:
    """Runs ingest and Transform once.

    Returns:
        For each speaker a TFRecord file of transformed examples, and `graph`, the folder of the Transform graph.
    """
    result = folder / "transformed.json"
    if not result.is_file():
        from finetune.config import Config
        from pipeline.local import run_through

        manifest = folder / "manifest.csv"
        of_speaker = {name: split for split, names in splits_of(speakers()[:TESTED]).items() for name in names}
        rows = [f"{row['path']},{row['label']},{row['speaker']},{of_speaker[row['speaker']]}" for row in recordings()]
        folder.mkdir(parents=True, exist_ok=True)
        manifest.write_text("\n".join(["path,label,speaker,split", *rows]) + "\n", encoding="utf-8")
        config = Config.model_validate(
            {
                "name": "spoken_digits",
                "output_dir": str(folder / "pipeline"),
                "data": {
                    "root": str(real_data() / "audio" / "spoken_digits"),
                    "manifest": str(manifest),
                    "split_column": "split",
                    "group_column": "speaker",
                },
                "backbone": yamnet(),
            }
        )
        found = run_through(config, "Transform", "Benchmark", lambda outputs: _by_speaker(outputs, folder), folder)
        result.write_text(json.dumps(found, indent=1))
    return json.loads(result.read_text())


def _by_speaker(outputs: Mapping[str, Mapping[str, Any]], folder: Path) -> dict[str, str]:
    """Writes the transformed examples of each speaker to a file of its own."""
    import tensorflow as tf

    from transforms.records import read_records

    examples = Path(outputs["Transform"]["transformed_examples"].uri)
    records: dict[str, list[bytes]] = {}
    for record in read_records(sorted(map(str, examples.glob("Split-*/*")))).as_numpy_iterator():
        speaker = tf.train.Example.FromString(record).features.feature["group"].bytes_list.value[0].decode()
        records.setdefault(speaker, []).append(record)
    files = {speaker: str(folder / f"{speaker}.tfrecord") for speaker in records}
    for speaker, of_speaker in records.items():
        with tf.io.TFRecordWriter(files[speaker]) as writer:
            for record in of_speaker:
                writer.write(record)
    return {**files, "graph": outputs["Transform"]["transform_graph"].uri}


def measured(sections: dict[str, Any], tested: list[str], made: Mapping[str, str], work: Path) -> dict[str, Any]:
    """Trains, and asks what was exported.

    Returns:
        `accuracy` on each tested speaker and `val_accuracy`; `parity`, the largest difference of a probability that is
        served of a file of val from that of the network in memory; `seconds` and `processor_seconds` of the Trainer.
    """
    import tensorflow as tf
    from tfx.components.trainer.fn_args_utils import FnArgs

    from finetune.config import AugmentationConfig, BackboneConfig, DistributionConfig, TrackingConfig, TrainingConfig
    from trainer_module.recipe import VAL_PREDICTIONS_FILE, run_fn

    shutil.rmtree(work, ignore_errors=True)
    typed = {
        "training": TrainingConfig.model_validate(sections["training"]),
        "backbone": BackboneConfig.model_validate(sections["backbone"]),
        "augmentation": AugmentationConfig.model_validate(sections["augmentation"]),
        "distribution": DistributionConfig(),
        "tracking": TrackingConfig(tensorboard=False),
    }
    splits = splits_of(tested)
    arguments = FnArgs(
        train_files=[made[name] for name in splits["train"]],
        eval_files=[made[name] for name in splits["val"]],
        transform_graph_path=made["graph"],
        serving_model_dir=str(work / "model"),
        model_run_dir=str(work / "run"),
        custom_config={
            **{name: json.loads(section.model_dump_json()) for name, section in typed.items()},
            "task": "single_label",
            "evaluation": {},
            "component": "Trainer",
            "code": "benchmark",
            **{f"{name}_dir": str(work / name) for name in ("checkpoint", "frozen_features", "tracking", "mlflow")},
        },
    )
    start, processor = time.monotonic(), time.process_time()
    run_fn(arguments)
    seconds, processor = time.monotonic() - start, time.process_time() - processor
    served = tf.saved_model.load(str(work / "model")).signatures["serving_default"]
    accuracy = {name: float(np.mean(_answers(served, [name])[2])) for name in splits["test"]}
    of_val, probabilities, val_right = _answers(served, splits["val"])
    with np.load(work / "run" / VAL_PREDICTIONS_FILE) as saved:
        in_memory = dict(zip(saved["keys"].tolist(), saved["probabilities"], strict=True))
    parity = max(np.abs(in_memory[key] - row).max() for key, row in zip(of_val, probabilities, strict=True))
    shutil.rmtree(work)
    return {
        "accuracy": accuracy,
        "val_accuracy": float(np.mean(val_right)),
        "parity": float(parity),
        "seconds": round(seconds, 1),
        "processor_seconds": round(processor, 1),
    }


def _answers(served: Callable[..., Any], names: list[str]) -> tuple[list[str], np.ndarray, list[bool]]:
    """Returns keys, probabilities and whether each is right, of the WAV files of speakers."""
    import tensorflow as tf

    rows = [row for row in recordings() if row["speaker"] in names]
    wavs = [to_wav((real_data() / "audio" / "spoken_digits" / row["path"]).read_bytes()) for row in rows]
    probabilities, right = [], []
    for first in range(0, len(rows), BATCH):
        answer = served(examples=tf.constant(wavs[first : first + BATCH]))
        probabilities.append(answer["probabilities"].numpy())
        said = [label.decode() for label in answer["label"].numpy()]
        right += [row["label"] == label for row, label in zip(rows[first : first + BATCH], said, strict=True)]
    return [hashlib.sha256(wav).hexdigest() for wav in wavs], np.concatenate(probabilities), right


def page(found: dict[str, dict[str, Any]]) -> str:
    """The results as Markdown."""
    arms = [arm for arm in ARMS if arm in found]
    runs = [run for arm in arms for run in found[arm].values()]
    accuracy = {
        arm: {name: value for run in found[arm].values() for name, value in run["accuracy"].items()} for arm in arms
    }
    names = sorted({name for of_arm in accuracy.values() for name in of_arm})
    rows = [(name, *(f"{accuracy[arm][name]:.3f}" if name in accuracy[arm] else "" for arm in arms)) for name in names]
    rows.append(("mean", *(f"{mean(accuracy[arm].values()):.3f}" for arm in arms)))
    spent = [f"{mean(run['processor_seconds'] for run in found[arm].values()):.0f}" for arm in arms]
    rows.append(("CPU seconds of the Trainer, mean", *spent))
    machines = "\n".join(f"- {line}" for line in sorted({run["machine"] for run in runs}))
    return (
        f"# Spoken digits of other speakers\n\nAccuracy on the recordings of each speaker, of whom nothing was trained "
        f"on: three others were, and one more chose.\n\n{table(('tested', *arms), rows)}\n\nServed "
        f"from the bytes of the WAV files of val, no probability differs from that of the network in memory by more "
        f"than {max(run['parity'] for run in runs):.1e}, in {len(runs)} runs. `make bench-audio` makes this page.\n\n"
        f"{machines}"
    )


if __name__ == "__main__":
    main()
