"""Pictures with words: what each side alone, and both together, know of questions that need both.

    python -m benchmarks.fusion [FOLDER]

A picture shows two flowers of different classes side by side, and a sentence in varied wording asks for the left or the
right one; the label is the class of that flower. Flowers, pictures and templates of sentences are disjoint over the
splits. Settings were chosen on the validation split.
"""

from __future__ import annotations

import csv
import json
import random
import sys
import time
from pathlib import Path
from typing import Any

from PIL import Image, ImageOps

from benchmarks.flowers import real_data
from benchmarks.tables import machine, save, table
from finetune.artifacts.findings import Verdict
from finetune.config import checked_config
from pipeline.checks import LOCAL_CHECKS
from pipeline.local import run_pipeline

SIZE = 224
EXAMPLES = {"train": 1600, "val": 300, "test": 600}
# Of the 120 photographs of each class in `train`; the 30 in `val` are the test split's.
TRAIN_PHOTOGRAPHS = 95
TEMPLATES = {
    "train": (
        "what grows on the {}?", "which flower is on the {}?", "name the {} flower.", "the {} one, what is it?",
        "tell me about the plant on the {} side.", "look to the {}: what do you see?", "what is the {} plant?",
        "can you identify the blossom at the {}?", "i would like to know the flower at {}.", "{}: which flower?",
        "what kind of flower stands {}?", "the flower in the {} half is called", "what is shown in the {} part?",
        "please describe the {} half of the picture.", "which species is to the {}?", "only the {} flower, please.",
        "give the name of what blooms on the {}.", "is it a rose or something else on the {}?", "say what is {}.",
        "on the {} hand side there is a flower; which?", "the plant to the {} is a", "now the {} flower.",
        "forget the other one and name what is {}.", "which blossom do we have {}?", "and what about the {}?",
        "my question is about the {} photograph.", "the {} photo shows which flower?", "how do you call the {} one?",
    ),
    "val": (
        "what do we have on the {}?", "identify the {} plant.", "which bloom can be seen at the {}?",
        "what's the {} flower called?", "do you recognise the one at {}?",
    ),
    "test": (
        "tell me which flower the {} side shows.", "and the one on the {}?", "what blossoms to the {} in this photo?",
        "name the species in the {} half.", "do you know the plant at the {} edge?", "{} flower: its name?",
    ),
}  # fmt: skip
TRAINING: dict[str, Any] = {
    "head": {"units": [256], "dropout": 0.5},
    "phases": [{"name": "fusion", "epochs": 40, "learning_rate": 0.001, "early_stopping": {"patience": 6}}],
}
# The splits differ on purpose.
CHECKS = {"checks": {"representative": "off"}}
FOLDER = Path("runs/benchmarks/fusion")
IMAGE = {"name": "MobileNetV2", "arguments": {"alpha": 0.35}, "image_size": SIZE}


def write_data(folder: Path) -> Path:
    """Writes the pictures and `manifest.csv`: `path`, `text`, `label`, `split`. The same each time."""
    flowers = real_data() / "images/flower_photos"
    draw = random.Random(1)
    photographs: dict[str, list[tuple[Path, str]]] = {split: [] for split in EXAMPLES}
    for of_class in sorted((flowers / "train").iterdir()):
        files = sorted(of_class.glob("*.jpg"))
        draw.shuffle(files)
        photographs["train"] += [(file, of_class.name) for file in files[:TRAIN_PHOTOGRAPHS]]
        photographs["val"] += [(file, of_class.name) for file in files[TRAIN_PHOTOGRAPHS:]]
        photographs["test"] += [
            (file, of_class.name) for file in sorted((flowers / "val" / of_class.name).glob("*.jpg"))
        ]
    (folder / "pictures").mkdir(parents=True, exist_ok=True)
    with (folder / "manifest.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["path", "text", "label", "split"])
        for split, count in EXAMPLES.items():
            for number in range(count):
                left, right = draw.sample(photographs[split], 2)
                while left[1] == right[1]:
                    left, right = draw.sample(photographs[split], 2)
                picture = Image.new("RGB", (SIZE, SIZE))
                for place, (photograph, _) in ((0, left), (SIZE // 2, right)):
                    with Image.open(photograph) as opened:
                        picture.paste(ImageOps.fit(opened.convert("RGB"), (SIZE // 2, SIZE)), (place, 0))
                path = f"pictures/{split}_{number:04d}.jpg"
                picture.save(folder / path, quality=92)
                side = draw.choice(["left", "right"])
                asked = left if side == "left" else right
                table.writerow([path, draw.choice(TEMPLATES[split]).format(side), asked[1], split])
    return folder


def config_of(name: str, data: Path, output: Path) -> dict[str, Any]:
    """Returns the config of one of `cross_attention`, `concat` and `image`."""
    image = {**IMAGE, "weights": str(real_data() / "weights/mobilenet_v2_0.35_224_no_top.h5")}
    text = {"name": "BERT", "weights": str(real_data() / "weights/minilm"), "text": {"max_pieces": 32}}
    sides: dict[str, Any] = {"backbone": image}
    if name != "image":
        sides = {"backbones": {"image": image, "text": text}}
    fusion = {} if name == "image" else {"fusion": name}
    return {
        "name": f"fusion-{name.replace('_', '-')}",
        "output_dir": str(output / name),
        "data": {
            "root": str(data),
            "manifest": "manifest.csv",
            "split_column": "split",
            "checks": {"representative": "off"},
        },
        **sides,
        "training": {**TRAINING, **fusion},
        "evaluation": {"gates": [{"metric": "accuracy", "min": 0.25}], "baselines": ["majority"]},
    }


def main() -> None:
    """Runs the pipelines that have not run yet, and writes `benchmarks/results/fusion.json` and a table."""
    folder = Path(sys.argv[1]).absolute() if len(sys.argv) > 1 else FOLDER.absolute()
    if not (folder / "data" / "manifest.csv").is_file():
        write_data(folder / "data")
    found: dict[str, Any] = {}
    for name in ("cross_attention", "concat", "image"):
        config = checked_config(config_of(name, folder / "data", folder / "runs"), checks=LOCAL_CHECKS)
        start = time.process_time()
        summary = run_pipeline(config)
        verdicts = (config.output_path / "artifacts" / "GateKeeper" / "verdict").iterdir()
        measured = Verdict.read(max(verdicts, key=lambda folder: int(folder.name)))
        shown = {"both": measured.metrics["accuracy"], **measured.alone}
        found[name] = {side: each.model_dump(mode="json") for side, each in shown.items()}
        found[name] |= {
            "majority": measured.baselines["majority"]["accuracy"],
            "status": summary.status,
            "cpu_seconds": round(time.process_time() - start),
        }
        print(name, json.dumps(found[name]), flush=True)
    columns = ("run", "both", "picture alone", "words alone", "most frequent class")
    rows = [
        [name, *(_shown(each.get(side)) for side in ("both", "image_alone", "text_alone")), f"{each['majority']:.3f}"]
        for name, each in found.items()
    ]
    save("fusion", table(columns, rows), {"machine": machine(), "found": found})


def _shown(measured: dict[str, Any] | None) -> str:
    if measured is None:
        return ""
    low, high = measured["interval"]["low"], measured["interval"]["high"]
    return f"{measured['value']:.3f} ({low:.3f} to {high:.3f})"


if __name__ == "__main__":
    main()
