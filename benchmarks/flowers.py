"""The flowers of the benchmarks, through the product's own Transform once, and subsets of them.

    python -m benchmarks.flowers FOLDER

Real weights and pictures are read from FINETUNE_REAL_DATA (default ../shared/real, as in the tests).
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from pathlib import Path
from typing import Any

from finetune.files import replacing

ROOT = Path(__file__).parents[1]
CLASSES = ("daisy", "dandelion", "roses", "sunflowers", "tulips")
SIZE = 224


def real_data() -> Path:
    """Folder with `images/flower_photos/{train,val}/<class>/*.jpg` and `weights/`."""
    path = Path(os.environ.get("FINETUNE_REAL_DATA", ROOT / ".." / "shared" / "real")).resolve()
    if not (path / "weights").is_dir():
        sys.exit(f"no real data at {path}; set FINETUNE_REAL_DATA to a folder with weights/ and images/flower_photos/")
    return path


def weights_file() -> Path:
    """MobileNetV2 0.35 at 224 pixels, trained on ImageNet, without its top."""
    return real_data() / "weights" / "mobilenet_v2_0.35_224_no_top.h5"


def mobilenet_v2() -> dict[str, Any]:
    """The section `backbone` of MobileNetV2 0.35."""
    return {"name": "MobileNetV2", "weights": str(weights_file()), "arguments": {"alpha": 0.35}, "image_size": SIZE}


def efficientnet_lite0() -> dict[str, Any]:
    """The section `backbone` of EfficientNet-Lite0."""
    file = real_data() / "weights" / "efficientnet_lite0.h5"
    return {"file": str(file), "image_size": SIZE, "scaling": "minus_one_to_one"}


def pictures(split: str, count: int | None = None) -> list[Path]:
    """Pictures of a split, the same number of each class; all without `count`."""
    folder = real_data() / "images" / "flower_photos" / split
    by_class = [sorted((folder / name).glob("*.jpg")) for name in CLASSES]
    each = None if count is None else count // len(CLASSES)
    return [path for paths in by_class for path in paths[:each]]


def linked(folder: Path, train: int | None = None) -> Path:
    """Makes `folder/{train,val}/<class>/*` of links to the real pictures, with a number of those in train."""
    for split, paths in (("train", pictures("train", train)), ("val", pictures("val"))):
        for path in paths:
            target = folder / split / path.parent.name / path.name
            target.parent.mkdir(parents=True, exist_ok=True)
            if not target.exists():
                target.symlink_to(path)
    return folder


def transformed(folder: Path) -> dict:
    """What Transform makes of all pictures, made in a process of its own where it is not there yet.

    Returns:
        `train` and `val`, lists of TFRecord files; `graph`, the folder of the Transform graph; `seconds` that the nodes
        took, by id.
    """
    result = folder / "transformed.json"
    if not result.is_file():
        import subprocess

        subprocess.run([sys.executable, "-m", "benchmarks.flowers", str(folder)], cwd=ROOT, check=True)
    return json.loads(result.read_text())


def subset(folder: Path, train: int, val: int, held_out: bool) -> dict[str, list[str]]:
    """Transformed examples of chosen pictures of train/, for training and for validation in every epoch.

    Accuracy is measured on val/, which nothing that is learned or chosen may see. So the validation split is a part of
    train/: taken out of what is trained on (`held_out`), or seen twice, where only its cost matters.
    """
    import tensorflow as tf

    keys = [hashlib.sha256(path.read_bytes()).hexdigest().encode() for path in pictures("train", train)]
    validation = set(keys[:: len(keys) // val][:val])
    wanted = {"train": set(keys) - validation if held_out else set(keys), "val": validation}
    files = {name: folder / f"{name}-{train}-{val}{'-held-out' * held_out}.gz" for name in wanted}
    options = tf.io.TFRecordOptions(compression_type="GZIP")
    if not all(path.is_file() for path in files.values()):
        # Transform leaves them as they are: pictures are compressed already.
        records = list(tf.data.TFRecordDataset(transformed(folder)["train"]).as_numpy_iterator())
        for name, path in files.items():
            with replacing(path) as unfinished, tf.io.TFRecordWriter(str(unfinished), options) as writer:
                for record in records:
                    key = tf.train.Example.FromString(record).features.feature["key"].bytes_list.value[0]
                    if key in wanted[name]:
                        writer.write(record)
    return {name: [str(path)] for name, path in files.items()}


def _transform(folder: Path) -> dict:
    """Runs the first nodes of the pipeline."""
    from PIL import Image

    root = linked(folder / "pictures")
    for name in CLASSES:
        # Ingest wants a test split; nothing reads it here.
        target = root / "test" / name / "noise.png"
        target.parent.mkdir(parents=True, exist_ok=True)
        noise = hashlib.sha512(name.encode()).digest() * 64
        Image.frombytes("RGB", (32, 32), noise[: 3 * 32 * 32]).save(target)
    return run_to_transform(
        {
            "name": "benchmark",
            "output_dir": str(folder / "pipeline"),
            "data": {"root": str(root), "layout": "splits"},
            "backbone": {"name": "MobileNetV2", "weights": str(weights_file()), "image_size": SIZE},
        }
    )


def run_to_transform(raw: dict[str, Any]) -> dict[str, Any]:
    """Runs the nodes of a config up to Transform.

    Returns:
        `train` and `val`, files of transformed examples; `test`, files of raw ones; `graph`; `seconds` of each node.
    """
    from finetune.artifacts.run_summary import ComponentRun
    from finetune.config import Config
    from pipeline.dag import compile_ir
    from pipeline.metadata_connection import sqlite_connection
    from pipeline.node_runs import run_nodes
    from pipeline.nodes import place_at
    from pipeline.plan import ingest_node_id
    from pipeline.run_metadata import RunMetadata

    config = Config.model_validate(raw)
    config.output_path.mkdir(parents=True, exist_ok=True)
    run_id = "benchmark"
    ended: list[ComponentRun] = []
    connection = sqlite_connection(config.metadata_path)
    run_nodes(compile_ir(config), connection, place_at(Path.cwd()), run_id, ended, last="Transform")
    outputs = RunMetadata(connection, run_id).outputs()
    transformed, raw_ones = outputs["Transform"]["transformed_examples"], outputs[ingest_node_id(config)]["examples"]
    of_splits = {"train": transformed, "val": transformed, "test": raw_ones}
    return {
        **{split: sorted(map(str, Path(of.uri).glob(f"Split-{split}/*"))) for split, of in of_splits.items()},
        "graph": outputs["Transform"]["transform_graph"].uri,
        "seconds": {node.id: round(node.seconds, 1) for node in ended},
    }


if __name__ == "__main__":
    import finetune  # noqa: F401  (chooses Keras 2)

    where = Path(sys.argv[1]).absolute()
    where.mkdir(parents=True, exist_ok=True)
    found = _transform(where)
    (where / "transformed.json").write_text(json.dumps(found, indent=1))
