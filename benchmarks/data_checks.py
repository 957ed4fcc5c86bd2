"""What the checks of the data find of what was planted in real data: flipped labels, and near-duplicates.

    python -m benchmarks.data_checks [labels] [duplicates] [faults] [seconds]      (all without a name)

Labels: 5 % of the labels of train and val are flipped to another class at random, in 20 draws; of each, the share of
the flipped that stands within the first 8 % of the list. Near-duplicates: of pictures chosen at random, a copy that is
resized, compressed again, or cropped by 5 %; how many of these pairs are reported, and how many reported pairs are none
of them. Faults: each other fault planted once, and alarms on 50 clean draws. Seconds: all checks on 6,000 examples with
random features.

Reads FINETUNE_REAL_DATA, writes benchmarks/results/data_checks.json.
"""

from __future__ import annotations

import dataclasses
import json
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from PIL import Image

import finetune  # noqa: F401  (chooses Keras 2)
from benchmarks.data_faults import alarms, faults_found, in_english, part
from benchmarks.flowers import efficientnet_lite0, real_data
from benchmarks.tables import RESULTS, earlier
from evaluation.data_checks import CHECKS, Examples, Pictures
from evaluation.data_checks.label_errors import judge_labels
from evaluation.data_checks.near_duplicates import groups, near_duplicates
from finetune.config import Config
from finetune.files import write_json
from trainer_module.probe import held_out_logits
from trainer_module.tasks import TASKS

FILE = RESULTS / "data_checks.json"
DRAWS, FLIPPED, LOOKED_AT = 20, 0.05, 0.08
COPIES_OF_A_KIND = 150
# A flower among pictures of blood cells.
STRANGER = "images/flower.jpg"
# Pictures of the original set that show the same scene, as a person has judged every pair that was reported of them.
SAME_SCENE = [
    {"train/daisy/10466290366_cc72e33532.jpg", "val/daisy/10994032453_ac7f8d9e2e.jpg"},
    {"train/daisy/10993710036_2033222c91.jpg", "train/daisy/10993818044_4c19b86c82.jpg"},
    {"train/roses/13279526615_a3b0059bec.jpg", "train/roses/13342823005_16d3df58df_n.jpg"},
    {"train/sunflowers/14741813110_94964c39e2_n.jpg", "train/sunflowers/14741907467_fab96f3b2b_n.jpg"},
    {
        "train/sunflowers/14889392928_9742aed45b_m.jpg",
        "train/sunflowers/15066430311_fb57fa92b0_m.jpg",
        "train/sunflowers/15069459615_7e0fd61914_n.jpg",
        "train/sunflowers/15072973261_73e2912ef2_n.jpg",
    },
    {"train/sunflowers/14925397651_97dcddc383_n.jpg", "val/sunflowers/14925397351_c7f209d804_n.jpg"},
    {
        "train/sunflowers/14925398301_55a180f919_n.jpg",
        "val/sunflowers/14741866338_bdc8bfc8d5_n.jpg",
        "val/sunflowers/14925398441_107f3e0304_n.jpg",
    },
    {"train/tulips/10163955604_ae0b830975_n.jpg", "train/tulips/10164073235_f29931d91e.jpg"},
    {"train/tulips/12916135413_dafcf3089e_n.jpg", "train/tulips/12916441224_2ed63596f8_n.jpg"},
    {"train/tulips/132538272_63658146d9_n.jpg", "train/tulips/132538273_335240fe5b_n.jpg"},
]


def examples_of(folder: Path, data: dict[str, Any], backbone: dict[str, Any], task: str = "single_label") -> Examples:
    """Runs the pipeline up to Transform, and returns what the data gate would hand to its checks."""
    from pipeline.local import run_through

    raw = {"name": "checked", "output_dir": str(folder), "task": task, "data": data, "backbone": backbone}
    config = Config.model_validate(raw)

    def work(outputs: Mapping[str, Mapping[str, Any]]) -> Examples:
        import tensorflow_transform as tft
        from tfx.types import artifact_utils, standard_artifacts

        from components.data_gate.examples import as_examples, read_raw
        from finetune.run_time import resolve
        from pipeline.dag import data_gate_settings
        from pipeline.nodes import place_at
        from pipeline.plan import ingest_node_id
        from trainer_module.embedding import embed

        settings = resolve(data_gate_settings(config), place_at(Path.cwd()))
        transform, splits = outputs["Transform"], ("train", "val", "test")
        files = {split: f"{transform['transformed_examples'].uri}/Split-{split}/*" for split in splits}
        embedding = embed(settings, tft.TFTransformOutput(transform["transform_graph"].uri), files)
        examples = standard_artifacts.Examples()
        examples.uri = outputs[ingest_node_id(config)]["examples"].uri
        examples.split_names = artifact_utils.encode_split_names(list(splits))
        raw = read_raw(examples, splits, settings["modality"], [], None)
        return as_examples(embedding, raw, settings["modality"], [], one_label=task == "single_label")

    return run_through(config, "Transform", "Embedding", work, folder)


def flowers(root: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Sections of a config of flowers with EfficientNet-Lite0; test is the folder val."""
    backbone = {**efficientnet_lite0(), "cut_at": "top_activation"}
    return {"root": str(root), "splits": {"train": "train", "val": 0.15, "test": "val"}}, backbone


def spam() -> tuple[dict[str, Any], dict[str, Any]]:
    """Sections of a config of messages with GloVe."""
    weights = str(real_data() / "weights" / "glove_6b_50d_5k_words.json")
    data = {"root": str(real_data() / "text" / "sms_spam.tsv"), "layout": "table", "columns": ["label", "text"]}
    return data, {"name": "GloVe", "weights": weights, "text": {"max_words": 64}}


def emotions() -> tuple[dict[str, Any], dict[str, Any], str]:
    """Sections of a config of comments with one or more labels, and the task: GoEmotions' test split, with GloVe."""
    root = str(real_data() / "text" / "goemotions" / "test.csv")
    return {"root": root, "layout": "table", "label_column": "labels"}, spam()[1], "multi_label"


def with_flower(target: Path) -> Path:
    """Copies the pictures of blood cells, and a flower among them."""
    shutil.copytree(real_data() / "images" / "bccd", target, copy_function=shutil.copyfile)
    for folder in (target, target / "images"):
        folder.chmod(0o755)
    flower = min((real_data() / "images" / "flower_photos" / "train" / "daisy").glob("*.jpg"))
    shutil.copyfile(flower, target / STRANGER)
    with (target / "multilabel.csv").open("a", encoding="utf-8") as file:
        file.write(f"{STRANGER},RBC\n")
    return target


def cells(root: Path) -> tuple[dict[str, Any], dict[str, Any], str]:
    """Sections of a config of blood cells with one or more labels, and the task, with MobileNetV1."""
    weights = str(real_data() / "weights" / "mobilenet_v1_0.25_128_no_top.h5")
    backbone = {"name": "MobileNet", "arguments": {"alpha": 0.25}, "image_size": 128, "weights": weights}
    data = {"root": str(root), "manifest": "multilabel.csv", "label_column": "labels"}
    return data, backbone, "multi_label"


def plant(source: Path, target: Path) -> dict[str, str]:
    """Copies pictures, and plants a changed copy of some; returns the path of each copy, and that of its original."""
    shutil.copytree(source, target)
    draw = random.Random(1)
    chosen = draw.sample(sorted(target.glob("*/*/*.jpg")), 3 * COPIES_OF_A_KIND)
    planted = {}
    for place, path in enumerate(chosen):
        with Image.open(path) as picture:
            width, height = picture.size
            quality, changed = 90, picture.convert("RGB")
            kind = ("resized", "recompressed", "cropped")[place % 3]
            if kind == "resized":
                factor = draw.uniform(0.4, 0.9)
                changed = changed.resize((round(width * factor), round(height * factor)))
            elif kind == "recompressed":
                quality = draw.randint(20, 60)
            else:
                # Of each side as much as leaves 95 % of width and height.
                left, top = (draw.uniform(0, 0.05) * side for side in (width, height))
                right, bottom = left + 0.95 * width, top + 0.95 * height
                changed = changed.crop((round(left), round(top), round(right), round(bottom)))
            copy = path.with_name(f"{kind}-{path.name}")
            changed.save(copy, quality=quality)
        planted[copy.relative_to(target).as_posix()] = path.relative_to(target).as_posix()
    return planted


def labels_found(examples: Examples) -> dict[str, Any]:
    """Flips labels, and says what share of them is found, in each draw."""
    kept = dataclasses.replace(examples, held_out=examples.held_out.copy())
    rows, task = examples.rows("train", "val"), TASKS["single_label"]
    truth, classes = examples.labels.argmax(axis=1), len(examples.classes)
    shares, precision = [], []
    for draw in range(DRAWS):
        chance = np.random.default_rng(draw)
        flipped = chance.choice(rows, round(FLIPPED * len(rows)), replace=False)
        given = truth.copy()
        given[flipped] = (given[flipped] + chance.integers(1, classes, len(flipped))) % classes
        logits = held_out_logits(task, examples.features[rows], given[rows], classes, seed=1)
        held_out = kept.held_out.copy()
        held_out[rows] = task.of_logits(np.eye(classes)[given[rows]], logits).probabilities
        judged = judge_labels(
            dataclasses.replace(examples, labels=np.eye(classes, dtype=bool)[given], held_out=held_out)
        )
        first = judged.rows[: round(LOOKED_AT * len(rows))]
        shares.append(float(np.isin(flipped, first).mean()))
        precision.append(float(np.isin(judged.rows[judged.wrong], flipped).mean()))
    return {
        "examples": len(rows),
        "flipped": round(FLIPPED * len(rows)),
        "found": sorted(shares),
        "median": median(shares),
        "flipped_of_those_counted_as_wrong": median(precision),
    }


def duplicates_found(examples: Examples, planted: Mapping[str, str]) -> dict[str, Any]:
    """Says which planted pairs are found, and how many reported pairs are of different scenes."""
    row = {path: place for place, path in enumerate(examples.paths)}
    reported = set(map(tuple, near_duplicates(examples).tolist()))
    of_group = {member: number for number, group in enumerate(groups(examples)) for member in group.tolist()}
    kinds: dict[str, list[bool]] = {}
    for copy, original in planted.items():
        found = of_group.get(row[copy], -1) == of_group.get(row[original], -2)
        kinds.setdefault(Path(copy).name.split("-")[0], []).append(found)
    scenes = [{planted.get(examples.paths[place], examples.paths[place]) for place in pair} for pair in reported]
    same = [len(scene) == 1 or any(scene <= known for known in SAME_SCENE) for scene in scenes]
    return {
        "pictures": len(examples.paths),
        "planted": len(planted),
        "found": sum(map(sum, kinds.values())) / len(planted),
        "found_by_kind": {kind: sum(found) / len(found) for kind, found in kinds.items()},
        "reported": len(reported),
        "false": same.count(False),
        "false_share": same.count(False) / len(reported),
    }


def seconds_taken(count: int = 6000, width: int = 1280) -> dict[str, Any]:
    """Times each check on pictures of chance."""
    chance = np.random.default_rng(1)
    classes, given = 5, chance.integers(0, 5, count)
    values = np.maximum(chance.normal(0, 1, (count, width)) + np.eye(classes, width)[given], 0).astype(np.float32)
    pixels = np.repeat(np.repeat(chance.integers(0, 256, (count, 8, 8, 3)), 4, axis=1), 4, axis=2).astype(np.uint8)
    sizes = chance.integers(200, 400, (count, 2))
    splits = np.repeat(["train", "val", "test"], [count * 7 // 10, count * 15 // 100, count * 15 // 100])
    seen = splits != "test"
    start = time.process_time(), time.perf_counter()
    task = TASKS["single_label"]
    logits = held_out_logits(task, values[seen], given[seen], classes, seed=1)
    taken = {"held_out": _since(start)}
    held_out = np.full((count, classes), np.nan, np.float32)
    held_out[seen] = task.of_logits(np.eye(classes)[given[seen]], logits).probabilities
    examples = Examples(
        paths=[f"{label}/{place}.jpg" for place, label in enumerate(given)],
        splits=splits,
        classes=list("abcde"),
        labels=np.eye(classes, dtype=bool)[given],
        one_label=True,
        features=values,
        held_out=held_out,
        pictures=Pictures(pixels, sizes, chance.integers(10_000, 90_000, count)),
    )
    for name, check in CHECKS.items():
        start = time.process_time(), time.perf_counter()
        check.find(examples)
        taken[name] = _since(start)
    total = [round(sum(each[place] for each in taken.values()), 2) for place in (0, 1)]
    return {"examples": count, "features": width, "cpu_and_wall_seconds": taken, "total": total}


def _since(start: tuple[float, float]) -> tuple[float, float]:
    return round(time.process_time() - start[0], 2), round(time.perf_counter() - start[1], 2)


def main() -> None:
    """Measures what is asked for, and writes it beside what was measured before."""
    asked = sys.argv[1:] or ["seconds", "labels", "duplicates", "faults"]
    found: dict[str, Any] = earlier("data_checks", {})
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        if "seconds" in asked:
            found["seconds"] = seconds_taken()
        if {"labels", "duplicates", "faults"} & set(asked):
            pictures = folder / "pictures"
            planted = plant(real_data() / "images" / "flower_photos", pictures)
            all_pictures = examples_of(folder / "flowers", *flowers(pictures))
            if "duplicates" in asked:
                found["duplicates"] = duplicates_found(all_pictures, planted)
            if "labels" in asked or "faults" in asked:
                texts = examples_of(folder / "spam", *spam())
                originals = [place for place, path in enumerate(all_pictures.paths) if path not in planted]
                pictures_alone = part(all_pictures, originals)
            if "faults" in asked:
                stranger = examples_of(folder / "cells", *cells(with_flower(folder / "bccd")))
                alike = part(stranger, [row for row, path in enumerate(stranger.paths) if path != STRANGER])
                clean = {
                    "flowers, EfficientNet-Lite0": pictures_alone,
                    "blood cells, MobileNetV1, several labels": alike,
                    "sms_spam in English, GloVe": in_english(texts),
                    "GoEmotions' test split, GloVe, several labels": in_english(
                        examples_of(folder / "emotions", *emotions())
                    ),
                }
                found["faults"] = faults_found(pictures_alone, stranger, texts)
                found["alarms_of_50_clean_draws"] = {name: alarms(examples) for name, examples in clean.items()}
            if "labels" in asked:
                found["labels"] = {
                    "flowers, EfficientNet-Lite0": labels_found(pictures_alone),
                    "sms_spam, GloVe": labels_found(texts),
                }
    write_json(FILE, found)
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
