"""What the checks of the data find of what was planted in real data: flipped labels, and near-duplicates.

    python -m benchmarks.data_checks [labels] [duplicates] [seconds]      (all without a name)

Labels: 5 % of the labels of train and val are flipped to another class at random, in 20 draws; of each, the share of
the flipped that stands within the first 8 % of the list. Near-duplicates: of pictures chosen at random, a copy that is
resized, compressed again, or cropped by 5 %; how many of these pairs are reported, and how many reported pairs are none
of them. Seconds: all checks on 6,000 examples with random features.

Reads FINETUNE_REAL_DATA, writes benchmarks/results/data_checks.json.
"""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PIL import Image

from evaluation.data_checks import Examples
from finetune.config import Config

RESULTS = Path(__file__).parent / "results" / "data_checks.json"
DRAWS, FLIPPED, LOOKED_AT = 20, 0.05, 0.08
COPIES_OF_A_KIND = 150


def examples_of(data: dict[str, Any], backbone: dict[str, Any], folder: Path) -> Examples:
    """Runs the pipeline up to Transform, and returns what the data gate would hand to its checks."""
    from pipeline.local import run_through

    raw = {"name": "checked", "output_dir": str(folder), "data": data, "backbone": backbone}
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
        return as_examples(embedding, raw, settings["modality"], [], one_label=True)

    return run_through(config, "Transform", "Embedding", work, folder)


def real_data() -> Path:
    """The folder of real data."""
    return Path(os.environ.get("FINETUNE_REAL_DATA", "../shared/real")).absolute()


def flowers(root: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Sections of a config of flowers with EfficientNet-Lite0; test is the folder val."""
    backbone = {
        "file": str(real_data() / "weights" / "efficientnet_lite0.h5"),
        "cut_at": "top_activation",
        "image_size": 224,
        "scaling": "minus_one_to_one",
    }
    return {"root": str(root), "splits": {"train": "train", "val": 0.15, "test": "val"}}, backbone


def spam() -> tuple[dict[str, Any], dict[str, Any]]:
    """Sections of a config of messages with GloVe."""
    weights = str(real_data() / "weights" / "glove_6b_50d_5k_words.json")
    data = {"root": str(real_data() / "text" / "sms_spam.tsv"), "layout": "table", "columns": ["label", "text"]}
    return data, {"name": "GloVe", "weights": weights, "text": {"max_words": 64}}


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
                box = (left, top, left + 0.95 * width, top + 0.95 * height)
                changed = changed.crop(tuple(map(round, box)))
            copy = path.with_name(f"{kind}-{path.name}")
            changed.save(copy, quality=quality)
        planted[copy.relative_to(target).as_posix()] = path.relative_to(target).as_posix()
    return planted
