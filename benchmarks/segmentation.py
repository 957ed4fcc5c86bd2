"""Flowers pasted onto blood cells: how well their pixels are told apart, beside the same network from random weights.

    python -m benchmarks.segmentation [FOLDER]

A picture is a crop of a blood smear with one or two pieces of photographs of flowers pasted in, each with a smooth
random outline, so that its mask is known exactly. Photographs and smears of one split are in no other. The config is
`configs/segmentation.yaml`, whose settings were chosen on the validation split; the test split is looked at once, by
the pipeline's own gates. A run goes on after a kill.
"""

from __future__ import annotations

import csv
import hashlib
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.detection import run_beside_scratch, shown
from benchmarks.flowers import pictures, real_data, weights_file
from benchmarks.tables import machine, save, table

CONFIG = Path(__file__).parents[1] / "configs" / "segmentation.yaml"
FOLDER = Path("runs/benchmarks/segmentation")
METRICS = ("mean_iou", "dice", "pixel_accuracy")
CLASSES = ("background", "flower")
# How many pictures there are of each split, and their height and width.
EXAMPLES = {"train": 240, "val": 40, "test": 60}
SIDE = 224


def main() -> None:
    """Makes the data, runs the pipeline, and writes `benchmarks/results/segmentation.json` and a table."""
    folder = Path(sys.argv[1]).absolute() if len(sys.argv) > 1 else FOLDER.absolute()
    overrides = [
        f"output_dir={folder / 'runs'}",
        f"data.root={make_data(folder / 'data')}",
        f"backbone.weights={weights_file()}",
        "evaluation.baselines=[majority, from_scratch]",
    ]
    verdict, found = run_beside_scratch(CONFIG, overrides)
    seconds = found["seconds"]
    others = [verdict.baselines.get(name, {}) for name in ("from_scratch", "majority")]
    rows = [
        [name, shown(verdict.metrics.get(name)), *(f"{each[name]:.3f}" if name in each else "" for each in others)]
        for name in METRICS
    ]
    rows += [
        [f"IoU of {one.name}, in {one.examples} pictures", shown(one.metrics.get("mean_iou")), "", ""]
        for one in verdict.classes
    ]
    found["baselines"] = dict(zip(("from_scratch", "majority"), others, strict=True))
    told = (
        f"`configs/segmentation.yaml` on {verdict.examples} test pictures, one seed, 95 % intervals. The Trainer took "
        f"{seconds['Trainer']} s, from random weights {seconds['ScratchTrainer']} s.\n"
    )
    head = f"# Flowers on blood cells, pixel by pixel\n\n{machine()}.\n"
    text = "\n".join([head, told, table(("metric", "test split", "from scratch", "one class everywhere"), rows)])
    save("segmentation", text, {"machine": machine(), "found": found})


def make_data(folder: Path) -> Path:
    """Writes pictures, masks, `classes.txt` and `masks.csv` into a folder, the same ones each time.

    Photographs of flowers in val/ go to test, and a fifth of those in train/ to val.
    """
    manifest = folder / "masks.csv"
    if manifest.is_file():
        return folder
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    (folder / "classes.txt").write_text("".join(f"{name}\n" for name in CLASSES))
    flowers = _distinct([*pictures("val"), *pictures("train")])
    smears = _distinct(sorted((real_data() / "images" / "bccd" / "images").iterdir()))
    sources = {
        "test": ([path for path in flowers if path.parts[-3] == "val"], smears[::5]),
        "val": ([path for path in flowers if path.parts[-3] == "train"][::5], smears[1::5]),
    }
    used = {path for split in sources.values() for paths in split for path in paths}
    sources["train"] = ([path for path in flowers if path not in used], [path for path in smears if path not in used])
    rows: list[dict[str, str]] = []
    for split, count in EXAMPLES.items():
        for number in range(count):
            picture, mask = pasted(*sources[split], np.random.default_rng([len(rows), 7]))
            name = f"{split}-{number:03}.png"
            Image.fromarray(picture).save(folder / "images" / name)
            Image.fromarray(mask).save(folder / "masks" / name)
            rows.append({"path": f"images/{name}", "mask": f"masks/{name}", "split": split})
    with manifest.open("w", newline="") as file:
        writer = csv.DictWriter(file, ("path", "mask", "split"))
        writer.writeheader()
        writer.writerows(rows)
    return folder


def pasted(
    flowers: Sequence[Path], smears: Sequence[Path], random: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Pastes one or two pieces of flowers onto a crop of a smear.

    Returns:
        The picture, uint8 [SIDE, SIDE, 3], and its mask, uint8 [SIDE, SIDE], of places in CLASSES.
    """
    picture = _crop(smears, random, random.uniform(0.5, 1.0))
    mask = np.zeros((SIDE, SIDE), np.uint8)
    for _ in range(int(random.integers(1, 3))):
        inside = _outline(random)
        picture = np.where(inside[..., np.newaxis], _crop(flowers, random, random.uniform(0.6, 1.0)), picture)
        mask[inside] = 1
    return picture, mask


def _crop(paths: Sequence[Path], random: np.random.Generator, share: float) -> np.ndarray:
    """Returns a square of one of the pictures, of a share of its shorter side, at SIDE."""
    with Image.open(paths[int(random.integers(len(paths)))]) as opened:
        whole = opened.convert("RGB")
    side = round(share * min(whole.size))
    left, top = (int(random.integers(0, length - side + 1)) for length in whole.size)
    square = whole.crop((left, top, left + side, top + side)).resize((SIDE, SIDE), Image.Resampling.BILINEAR)
    return np.asarray(square)


def _outline(random: np.random.Generator) -> np.ndarray:
    """Returns bool [SIDE, SIDE], the inside of a smooth closed line: a circle whose radius has four random waves."""
    y, x = np.mgrid[:SIDE, :SIDE]
    centre = random.uniform(0.2, 0.8, 2) * SIDE
    angle = np.arctan2(y - centre[0], x - centre[1])
    waves = sum(
        random.uniform(0, 0.25) / wave * np.sin(wave * angle + random.uniform(0, 2 * np.pi)) for wave in range(2, 6)
    )
    return np.hypot(y - centre[0], x - centre[1]) < random.uniform(0.12, 0.3) * SIDE * (1 + waves)


def _distinct(paths: Sequence[Path]) -> list[Path]:
    """Returns the first of each content."""
    return list({hashlib.sha256(path.read_bytes()).digest(): path for path in reversed(paths)}.values())[::-1]


if __name__ == "__main__":
    main()
