"""Pictures and prompts in one space: whether a class of flowers is found by its prompt that training never saw.

    python -m benchmarks.alignment [FOLDER]

In each of five folds one class is held out: the Trainer's own parts train on pictures of the other four, each with a
text in varied wording that names it. The model is then asked, with five prompts, about all pictures of the class that
was held out, and about the test pictures of all five. Pictures and wordings are disjoint over the splits, and no
setting was chosen on any of it. The first fold goes through the whole pipeline too, which leaves the Transform graph
of all.
"""

from __future__ import annotations

import csv
import hashlib
import json
import random
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.flowers import real_data
from benchmarks.tables import machine, save, table
from evaluation.intervals import wilson
from evaluation.retrieval import by_chance, ranks
from finetune.config import Config, checked_config
from pipeline.checks import LOCAL_CHECKS
from pipeline.local import run_pipeline
from transforms.columns import as_parsed
from transforms.sides import pack

if TYPE_CHECKING:
    import tensorflow_transform as tft

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
WAYS = ("image_to_text", "text_to_image")
SECTIONS = ("training", "backbone", "augmentation", "distribution")
# Of the transformed examples of each class and split.
Files = dict[tuple[str, str], str]
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


def transformed(graph: tft.TFTransformOutput, folder: Path) -> dict[tuple[str, str], str]:
    """Writes the transformed examples of each class and split; returns their files."""
    import tensorflow as tf

    layer, spec = graph.transform_features_layer(), graph.raw_feature_spec()
    draw, files = random.Random(1), {}
    for of_class, name in NAMES.items():
        for split, found in photographs(of_class).items():
            path = folder / f"{of_class}_{split}.gz"
            with tf.io.TFRecordWriter(str(path), tf.io.TFRecordOptions(compression_type="GZIP")) as writer:
                for batch in batched(found):
                    texts = [draw.choice(TEMPLATES[split]).format(name).encode() for _ in batch]
                    values = {
                        "image_text": [
                            pack({"image": file.read_bytes(), "text": text})
                            for file, text in zip(batch, texts, strict=True)
                        ],
                        "label": [name] * len(batch),
                        "sha256": [hashlib.sha256(file.name.encode()).hexdigest() for file in batch],
                    }
                    made = layer({key: as_parsed(tf.constant(value), spec[key]) for key, value in values.items()})
                    for number in range(len(batch)):
                        writer.write(_serialised({key: value[number].numpy() for key, value in made.items()}))
            files[of_class, split] = str(path)
    return files


def _serialised(row: dict[str, Any]) -> bytes:
    import tensorflow as tf

    example = tf.train.Example()
    for name, value in row.items():
        feature = example.features.feature[name]
        if isinstance(value, bytes):
            feature.bytes_list.value.append(value)
        else:
            feature.int64_list.value.extend(np.ravel(value).tolist())
    return bytes(example.SerializeToString())


def measured(held_out: str, config: Config, graph: tft.TFTransformOutput, files: Files, folder: Path) -> dict[str, Any]:
    """Trains a fold, and asks about the class that was held out and about the test pictures of all."""
    from trainer_module.alignment.prompts import class_vectors
    from trainer_module.alignment.vectors import Vectors
    from trainer_module.examples.input_data import evaluation_batches, load_split
    from trainer_module.phases.checkpoint import Checkpoints
    from trainer_module.phases.run import run_phases
    from trainer_module.recipe import make_setup

    classes, place = list(NAMES), list(NAMES).index(held_out)
    settings = {
        **{name: getattr(config, name).model_dump(mode="json") for name in SECTIONS},
        "task": config.task,
        "component": "Trainer",
        "code": "",
        "frozen_features_dir": str(folder / "frozen"),
    }
    known = [[files[name, split] for name in classes if name != held_out] for split in ("train", "val")]
    setup = make_setup(settings, graph, *known)
    state = run_phases(setup, Checkpoints(str(folder / held_out), held_out, setup.training.checkpoint, "Trainer"))
    prompts = class_vectors(setup.model, list(NAMES.values()), [PROMPT], graph, setup.val.inputs)

    def vectors(*splits: tuple[str, str]) -> np.ndarray:
        split = load_split([files[each] for each in splits], setup.val.inputs, setup.val.labels)
        batches = evaluation_batches(split, BATCH)
        return np.concatenate([Vectors.of(setup.model(value, training=False)).image for value, _ in batches])

    new = (vectors(*((held_out, split) for split in TEMPLATES)) @ prompts.T).argmax(axis=1)
    test = [vectors((name, "test")) for name in classes]
    right = np.repeat(np.arange(len(classes)), [len(each) for each in test])
    similar = np.concatenate(test) @ prompts.T
    found, of_four = similar.argmax(axis=1), similar[right != place].copy()
    of_four[:, place] = -np.inf
    contents = np.stack([np.arange(1, len(right) + 1), right + 1], axis=1)
    both = np.stack([np.concatenate(test), prompts[right]], axis=1)
    return {
        "held_out": held_out,
        "new_right": int((new == place).sum()),
        "new": len(new),
        "new_said": {NAMES[name]: int((new == number).sum()) for number, name in enumerate(classes)},
        "test_right": int((found == right).sum()),
        "test": len(right),
        "known_said_new": int((found[right != place] == place).sum()),
        "four_right": int((of_four.argmax(axis=1) == right[right != place]).sum()),
        "four": int((right != place).sum()),
        "epochs": state.rows[0]["epochs"],
        **_recalls("", ranks(both, contents)),
        **_recalls("chance_", by_chance(contents)),
    }


def batched(values: list[Any]) -> list[list[Any]]:
    """Returns them some at a time."""
    return [values[start : start + BATCH] for start in range(0, len(values), BATCH)]


def _recalls(prefix: str, found: np.ndarray) -> dict[str, float]:
    return {
        f"{prefix}{way}_{k}": round(float((found[:, side] < k).mean()), 4)
        for side, way in enumerate(WAYS)
        for k in (1, 5)
    }


def main() -> None:
    """Runs the pipeline of the first fold and trains the folds that have not been, and writes a table of all."""
    folder = Path(sys.argv[1]).absolute() if len(sys.argv) > 1 else FOLDER.absolute()
    config = checked_config(config_of(next(iter(NAMES)), folder), checks=LOCAL_CHECKS)
    made = config.output_path / "artifacts" / "Transform" / "transform_graph"
    if not made.is_dir():
        run_pipeline(config)
    import tensorflow_transform as tft

    graph = tft.TFTransformOutput(str(max(made.iterdir(), key=lambda each: int(each.name))))
    files: Files = {}
    folds = []
    for held_out in NAMES:
        result = folder / f"{held_out}.json"
        if not result.is_file():
            start = time.process_time()
            (folder / "examples").mkdir(exist_ok=True)
            files = files or transformed(graph, folder / "examples")
            found = measured(held_out, config, graph, files, folder / "trained")
            found["cpu_seconds"] = round(time.process_time() - start)
            result.write_text(json.dumps(found))
        folds.append(json.loads(result.read_text()))
        print(json.dumps(folds[-1]), flush=True)
    counts = ("new_right", "new", "known_said_new", "test_right", "test", "four_right", "four")
    total: dict[str, Any] = {key: sum(fold[key] for fold in folds) for key in counts}
    for key in (f"{chance}{way}_1" for chance in ("", "chance_") for way in WAYS):
        total[key] = sum(fold[key] for fold in folds) / len(folds)
    columns = ("held out", "found by its prompt", "others taken for it", "all five", "recall@1 of all five", "the four")
    rows = [[NAMES[fold["held_out"]], *_row(fold)] for fold in folds]
    text = table(columns, [*rows, ["all", *_row(total)]])
    save("alignment", text, {"machine": machine(), "folds": folds, "total": total})


def _row(found: dict[str, Any]) -> list[str]:
    interval = wilson(found["new_right"], found["new"], 0.95)
    return [
        f"{found['new_right'] / found['new']:.3f} ({interval.low:.3f} to {interval.high:.3f}), chance 0.200",
        f"{found['known_said_new'] / found['four']:.3f}",
        f"{found['test_right'] / found['test']:.3f}, chance 0.200",
        "; ".join(
            f"{way.replace('_', ' ')} {found[f'{way}_1']:.3f}, chance {found[f'chance_{way}_1']:.3f}" for way in WAYS
        ),
        f"{found['four_right'] / found['four']:.3f}, chance 0.250",
    ]


if __name__ == "__main__":
    main()
