"""Pictures and prompts in one space: whether a class of flowers is found by its prompt that training never saw.

    python -m benchmarks.alignment [FOLDER]

In each of five folds one class is held out: the pipeline trains on pictures of the other four, each with a text in
varied wording that names it, and pushes a model. It is then asked, with five prompts, about all pictures of the class
that was held out, and about the test pictures of all five. Pictures and wordings are disjoint over the splits. Settings
were chosen on the validation split of the four.
"""

from __future__ import annotations

import csv
import json
import random
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.flowers import real_data
from benchmarks.tables import machine, save, table
from evaluation.intervals import wilson
from evaluation.retrieval import by_chance, ranks
from finetune.config import checked_config
from pipeline.checks import LOCAL_CHECKS
from pipeline.local import run_pipeline

NAMES = {
    "daisy": "daisy",
    "dandelion": "dandelion",
    "roses": "rose",
    "sunflowers": "sunflower",
    "tulips": "tulip",
}
PROMPT = "a photo of a {}."
TEMPLATES = {
    "train": (
        "a {}.", "a picture of a {}.", "this is a {}.", "a {} in a garden.", "a close-up of a {}.", "the {}.",
        "a bright photo of a {}.", "a {} in bloom.", "a blurry picture of a {}.", "a {} in the grass.", "my {}.",
        "one of many, a {}.", "a cropped picture of the {}.", "a {}, a type of flower.", "somebody's {}.",
        "a wild {}.", "a {} on a sunny day.", "a small {}.", "a large {}.", "what a beautiful {}!",
    ),
    "val": ("an image of a {}.", "here is a {}.", "a {} that blossoms."),
    "test": (PROMPT,),
}  # fmt: skip
# Of the 120 photographs of each class in `train`; the others are the validation split's.
TRAIN_PHOTOGRAPHS = 95
BATCH = 25
FOLDER = Path("runs/benchmarks/alignment")
TRAINING: dict[str, Any] = {
    "fusion": {"name": "contrastive", "width": 64, "prompts": [PROMPT]},
    "head": {"units": [], "dropout": 0.2},
    "phases": [{"name": "projections", "epochs": 40, "learning_rate": 0.001, "early_stopping": {"patience": 6}}],
}


def photographs(of_class: str) -> dict[str, list[Path]]:
    """Returns those of a class by split, in an order drawn once."""
    folder = real_data() / "images" / "flower_photos"
    files = sorted((folder / "train" / of_class).glob("*.jpg"))
    random.Random(of_class).shuffle(files)
    test = sorted((folder / "val" / of_class).glob("*.jpg"))
    return {"train": files[:TRAIN_PHOTOGRAPHS], "val": files[TRAIN_PHOTOGRAPHS:], "test": test}


def write_manifest(folder: Path, held_out: str) -> Path:
    """Writes `manifest.csv` and the photographs of the four other classes."""
    draw = random.Random(1)
    (folder / "photos").mkdir(parents=True, exist_ok=True)
    with (folder / "manifest.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["path", "text", "label", "split"])
        for of_class in NAMES:
            for split, files in photographs(of_class).items() if of_class != held_out else ():
                for photograph in files:
                    copy = folder / "photos" / f"{of_class}_{photograph.name}"
                    copy.write_bytes(photograph.read_bytes())
                    text = draw.choice(TEMPLATES[split]).format(NAMES[of_class])
                    rows.writerow([f"photos/{copy.name}", text, NAMES[of_class], split])
    return folder


def config_of(held_out: str, folder: Path) -> dict[str, Any]:
    """Returns the config of a fold."""
    weights = real_data() / "weights"
    image = {"name": "MobileNetV2", "arguments": {"alpha": 0.35}, "image_size": 224}
    return {
        "name": f"alignment-{held_out}",
        "output_dir": str(folder / "runs" / held_out),
        "data": {
            "root": str(write_manifest(folder / held_out, held_out)),
            "manifest": "manifest.csv",
            "split_column": "split",
            # The wording of the splits differs on purpose.
            "checks": {"representative": "off"},
        },
        "backbones": {
            "image": {**image, "weights": str(weights / "mobilenet_v2_0.35_224_no_top.h5")},
            "text": {"name": "BERT", "weights": str(weights / "minilm"), "text": {"max_pieces": 16}},
        },
        "training": TRAINING,
        "evaluation": {
            "gates": [
                {"metric": "accuracy", "min": 0, "relative_to": "majority", "confidence": 0.95},
                {"metric": "image_to_text_recall_at_1", "min": 0, "relative_to": "majority", "confidence": 0.95},
            ],
            "baselines": ["majority"],
        },
    }


def asked(model: Path, held_out: str) -> dict[str, Any]:
    """Asks a pushed model, by five prompts, about the class that was held out, and about the test pictures of all."""
    import tensorflow as tf

    from transforms.sides import pack

    signatures = tf.saved_model.load(str(model)).signatures
    classes = list(NAMES)
    prompts = tf.constant([PROMPT.format(NAMES[name]) for name in classes])

    def said(files: list[Path]) -> np.ndarray:
        found = [
            signatures["zero_shot"](examples=tf.constant([file.read_bytes() for file in batch]), prompts=prompts)
            for batch in batched(files)
        ]
        return np.concatenate([each["probabilities"] for each in found]).argmax(axis=1)

    new = said([file for files in photographs(held_out).values() for file in files])
    test = [(file, place) for place, name in enumerate(classes) for file in photographs(name)["test"]]
    right, found = np.array([place for _, place in test]), said([file for file, _ in test])
    place = classes.index(held_out)
    pairs = [pack({"image": file.read_bytes(), "text": prompts[name].numpy()}) for file, name in test]
    embedded = [signatures["embed"](examples=tf.constant(batch)) for batch in batched(pairs)]
    vectors = np.concatenate([np.stack([each["image"], each["text"]], axis=1) for each in embedded])
    contents = np.stack([np.arange(1, len(test) + 1), right + 1], axis=1)
    return {
        "held_out": held_out,
        "new_right": int((new == place).sum()),
        "new": len(new),
        "new_said": {NAMES[name]: int((new == number).sum()) for number, name in enumerate(classes)},
        "test_right": int((found == right).sum()),
        "test": len(test),
        "known_said_new": int((found[right != place] == place).sum()),
        "known": int((right != place).sum()),
        **_recalls("", ranks(vectors, contents)),
        **_recalls("chance_", np.concatenate([by_chance(contents, seed) for seed in range(200)])),
    }


def batched(values: list[Any]) -> list[list[Any]]:
    """Returns them some at a time."""
    return [values[start : start + BATCH] for start in range(0, len(values), BATCH)]


def _recalls(prefix: str, found: np.ndarray) -> dict[str, float]:
    ways = ("image_to_text", "text_to_image")
    return {
        f"{prefix}{way}_{k}": round(float((found[:, side] < k).mean()), 4)
        for side, way in enumerate(ways)
        for k in (1, 5)
    }


def main() -> None:
    """Runs the folds that have not run yet, and writes `benchmarks/results/alignment.json` and a table."""
    folder = Path(sys.argv[1]).absolute() if len(sys.argv) > 1 else FOLDER.absolute()
    folds = []
    for held_out in NAMES:
        result = folder / f"{held_out}.json"
        if not result.is_file():
            start = time.process_time()
            summary = run_pipeline(checked_config(config_of(held_out, folder), checks=LOCAL_CHECKS))
            assert summary.pushed_model, f"{held_out}: {summary.status}"
            found = asked(Path(summary.pushed_model), held_out)
            found["of_four"] = dict(summary.metrics)
            found["cpu_seconds"] = round(time.process_time() - start)
            result.write_text(json.dumps(found))
        folds.append(json.loads(result.read_text()))
        print(json.dumps(folds[-1]), flush=True)
    columns = ("held out", "found by its prompt", "others taken for it", "all five", "recall@1", "of the four alone")
    rows = [[NAMES[fold["held_out"]], *_row(fold)] for fold in folds]
    total = {key: sum(fold[key] for fold in folds) for key in ("new_right", "new", "known_said_new", "known")}
    total |= {key: sum(fold[key] for fold in folds) for key in ("test_right", "test")}
    for key in ("image_to_text_1", "chance_image_to_text_1", "text_to_image_1", "chance_text_to_image_1"):
        total[key] = sum(fold[key] for fold in folds) / len(folds)
    total["of_four"] = {"accuracy": sum(fold["of_four"]["accuracy"] for fold in folds) / len(folds)}
    save(
        "alignment",
        table(columns, [*rows, ["all", *_row(total)]]),
        {"machine": machine(), "folds": folds, "total": total},
    )


def _row(found: dict[str, Any]) -> list[str]:
    interval = wilson(found["new_right"], found["new"], 0.95)
    return [
        f"{found['new_right'] / found['new']:.3f} ({interval.low:.3f} to {interval.high:.3f}), chance 0.200",
        f"{found['known_said_new'] / found['known']:.3f}",
        f"{found['test_right'] / found['test']:.3f}",
        "; ".join(
            f"{way.replace('_', ' ')} {found[f'{way}_1']:.3f}, chance {found[f'chance_{way}_1']:.3f}"
            for way in ("image_to_text", "text_to_image")
        ),
        f"{found['of_four']['accuracy']:.3f}, chance 0.250",
    ]


if __name__ == "__main__":
    main()
