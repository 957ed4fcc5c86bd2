"""Spoken digits of speakers that were not trained on: YAMNet fine-tuned, as it is, and a network from scratch.

    make bench-audio        (python -m benchmarks.audio [--folder FOLDER] [ARM ...])

Each run is the whole pipeline, `finetune run`. Each of the six speakers is tested on once; the one after is what val
holds, and the other four are trained on. What a run chooses, epochs and weights among them, it chooses on val. Runs
that were measured are not run again.
"""

from __future__ import annotations

import argparse
import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from statistics import mean
from typing import Any

import finetune  # noqa: F401  (chooses Keras 2)
from benchmarks.flowers import real_data
from benchmarks.pipeline_runs import run_pipeline
from benchmarks.tables import RESULTS, machine, save, table
from finetune.files import write_text

FOLDER = Path("runs/benchmarks/audio")
FRAMES, BANDS = 96, 64
REGRESSION = "logistic_regression"
# Of the summary, what the page shows, and what says how it came about.
KEPT = ("status", "metrics", "baselines", "gates", "phases", "splits", "seconds")


def main() -> None:
    """Runs what was not measured yet, and writes the page."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("arms", nargs="*", default=list(ARMS), metavar="ARM", help=", ".join(ARMS))
    arguments.add_argument("--folder", type=Path, default=FOLDER)
    given = arguments.parse_args()
    folder, described = given.folder.absolute(), machine()
    earlier = RESULTS / "audio.json"
    found: dict[str, dict[str, Any]] = json.loads(earlier.read_text()) if earlier.is_file() else {}
    for speaker in speakers():
        for arm in given.arms:
            if speaker in found.get(arm, {}):
                continue
            place = folder / arm / speaker
            run = run_pipeline(place, config_of(arm, speaker, folder), seed=1)
            found.setdefault(arm, {})[speaker] = {"machine": described, **{key: run[key] for key in KEPT}}
            save("audio", page(found), found)
            shutil.rmtree(place)
    print(page(found))


def speakers() -> list[str]:
    """The names of all speakers, sorted."""
    return sorted({row["speaker"] for row in recordings()})


def recordings() -> list[dict[str, str]]:
    """The rows of the data's own manifest."""
    with (real_data() / "audio" / "spoken_digits" / "manifest.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def config_of(arm: str, tested: str, folder: Path) -> dict[str, Any]:
    """Returns the config of a run that tests on one speaker."""
    return {
        "name": "spoken_digits",
        "data": {
            "root": str(real_data() / "audio" / "spoken_digits"),
            "manifest": str(manifest_of(tested, folder)),
            "split_column": "split",
            "group_column": "speaker",
            "splits": {split: split for split in ("train", "val", "test")},
        },
        **ARMS[arm](folder),
    }


def manifest_of(tested: str, folder: Path) -> Path:
    """Writes the manifest with a column for the split: one speaker for test, the next for val, the others for train."""
    names = speakers()
    splits = dict.fromkeys(names, "train")
    splits[names[(names.index(tested) + 1) % len(names)]] = "val"
    splits[tested] = "test"
    rows = [f"{row['path']},{row['label']},{row['speaker']},{splits[row['speaker']]}" for row in recordings()]
    path = folder / f"{tested}.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, "\n".join(["path,label,speaker,split", *rows]) + "\n")
    return path


def fine_tuned(folder: Path) -> dict[str, Any]:
    """YAMNet, all of it tuned from a fitted head; the regression on its frozen features beside it."""
    return {
        "backbone": _of_patches(real_data() / "weights" / "yamnet_log_mel_no_top.h5"),
        "augmentation": CHANGES,
        "training": {
            "head": {"start": "fitted"},
            "label_smoothing": 0.1,
            "phases": [
                {
                    "name": "fine_tune",
                    "unfreeze": "all",
                    "epochs": 15,
                    "learning_rate": 3e-4,
                    "optimizer": {"name": "adamw"},
                    "schedule": {"name": "cosine", "warmup_epochs": 1},
                    "early_stopping": None,
                }
            ],
        },
        "evaluation": {"baselines": [REGRESSION], "gates": [_above(REGRESSION)]},
    }


def from_scratch(folder: Path) -> dict[str, Any]:
    """A convolutional network of a size that digits need, from random weights."""
    file = folder / "scratch.keras"
    if not file.is_file():
        file.parent.mkdir(parents=True, exist_ok=True)
        scratch_network().save(file)
    return {
        "backbone": _of_patches(file),
        "augmentation": CHANGES,
        "training": {
            "batch_norm": "train",
            "head": {"units": [], "dropout": 0.3},
            "phases": [
                {
                    "name": "from_scratch",
                    "unfreeze": "all",
                    "epochs": 40,
                    "learning_rate": 1e-3,
                    "optimizer": {"name": "adamw"},
                    "schedule": {"name": "cosine", "warmup_epochs": 1},
                    "early_stopping": None,
                }
            ],
        },
        "evaluation": {"gates": [{"metric": "accuracy", "min": 0.1}]},
    }


ARMS: dict[str, Callable[[Path], dict[str, Any]]] = {"fine-tuned": fine_tuned, "from scratch": from_scratch}
# As SpecAugment has it for small data, in proportion to patches of 96 frames and 64 bands; and a microphone elsewhere.
CHANGES = {"time_shift": 0.1, "gain_db": 6, "time_mask": 10, "band_mask": 8}


def scratch_network() -> Any:
    """Four blocks of convolution, BatchNorm and pooling on log-mel patches, 98,000 parameters."""
    import tf_keras as keras

    keras.utils.set_random_seed(1)
    x = log_mel = keras.Input((FRAMES, BANDS, 1), name="patch")
    for number, filters in enumerate((16, 32, 64, 128), start=1):
        x = keras.layers.Conv2D(filters, 3, padding="same", use_bias=False, name=f"block{number}_conv")(x)
        x = keras.layers.BatchNormalization(name=f"block{number}_norm")(x)
        x = keras.layers.ReLU(name=f"block{number}_relu")(x)
        x = keras.layers.MaxPooling2D(name=f"block{number}_pool")(x)
    return keras.Model(log_mel, x, name="scratch")


def page(found: dict[str, dict[str, Any]]) -> str:
    """The results as Markdown."""
    columns = {
        "fine-tuned": lambda speaker: found["fine-tuned"][speaker]["metrics"]["accuracy"],
        "regression on frozen features": lambda speaker: _regressed(found["fine-tuned"][speaker]),
        "from scratch": lambda speaker: found["from scratch"][speaker]["metrics"]["accuracy"],
    }
    values: dict[str, dict[str, float]] = {}
    for name, of_speaker in columns.items():
        arm = name if name in found else "fine-tuned"
        values[name] = {speaker: of_speaker(speaker) for speaker in found.get(arm, {})}
    names = sorted({speaker for of_arm in values.values() for speaker in of_arm})
    rows = [(name, *(_shown(values[arm].get(name)) for arm in values)) for name in names]
    rows.append(("mean", *(_shown(mean(of_arm.values()) if of_arm else None) for of_arm in values.values())))
    runs = [run for of_arm in found.values() for run in of_arm.values()]
    parity = [gate["value"] for run in runs for gate in run["gates"] if gate["metric"] == "parity_max_difference"]
    machines = "\n".join(f"- {line}" for line in sorted({run["machine"] for run in runs}))
    return (
        f"# Spoken digits of other speakers\n\nAccuracy on the recordings of each speaker, of whom nothing was trained "
        f"on; four others were, and one more chose:\n\n{table(('tested', *values), rows)}\n\n"
        f"Served from the bytes of WAV files, probabilities differ from those of the training path by at most "
        f"{max(parity):.1e}, over {len(parity)} runs. `make bench-audio` makes this page.\n\n{machines}"
    )


def _of_patches(file: Path) -> dict[str, Any]:
    # Few digits last longer than one patch.
    return {"file": str(file), "modality": "audio", "audio": {"max_patches": 1}}


def _above(baseline: str) -> dict[str, Any]:
    return {"metric": "accuracy", "min": 0.0, "relative_to": baseline}


def _regressed(run: dict[str, Any]) -> float:
    return run["baselines"][REGRESSION]["accuracy"]


def _shown(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


if __name__ == "__main__":
    main()
