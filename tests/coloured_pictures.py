"""Pictures of coloured things made for tests: rectangles with their boxes or masks, and one colour with its words."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
from PIL import Image

COLOURS = {"blue": (20, 30, 200), "green": (30, 180, 40), "red": (220, 30, 20), "white": (230, 230, 230)}
RECTANGLES = {"blue one": COLOURS["blue"], "red one": COLOURS["red"]}
MASK_CLASSES = ["background", *RECTANGLES]
SIDE, WIDTH, PICTURES = 64, 80, 60
LACKING = 6


def write_boxes(folder: Path) -> Path:
    """Up to three rectangles of two colours on grey; some annotations are odd, and one picture is of another size."""
    random = np.random.default_rng(1)
    folder.mkdir()
    images, annotations = [], []

    def annotate(number: int, category: int, box: list[float], **more: int) -> None:
        one = {"id": len(annotations) + 1, "image_id": number, "category_id": category, "bbox": box}
        annotations.append({**one, "area": box[2] * box[3], "iscrowd": 0, **more})

    for number in range(PICTURES):
        pixels = random.integers(90, 150, (SIDE, SIDE, 3))
        for _ in range(number % 4):
            category = int(random.integers(2))
            left, top = random.integers(0, SIDE - 24, 2).tolist()
            width, height = random.integers(12, 24, 2).tolist()
            pixels[top : top + height, left : left + width] = list(RECTANGLES.values())[category]
            annotate(number, category, [left, top, width, height])
        Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{number}.png")
        images.append({"id": number, "file_name": f"{number}.png", "width": SIDE, "height": SIDE})
    annotate(1, 0, [5, 5, 0, 9])
    annotate(2, 0, [SIDE + 1, 5, 9, 9])
    annotate(3, 1, [0, 0, 30, 30], iscrowd=1)
    images[-1]["width"] = 2 * SIDE
    content = {"images": images, "annotations": annotations}
    content["categories"] = [{"id": number, "name": name} for number, name in enumerate(RECTANGLES)]
    (folder / "coco.json").write_text(json.dumps(content))
    return folder


def write_masks(folder: Path) -> Path:
    """Up to three rectangles of two colours on grey, with a void line around each; some masks are odd."""
    random = np.random.default_rng(1)
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True)
    (folder / "classes.txt").write_text("\n".join(MASK_CLASSES))
    for number in range(PICTURES):
        pixels = random.integers(90, 150, (SIDE, WIDTH, 3))
        mask = np.zeros((SIDE, WIDTH), np.uint8)
        for _ in range(number % 4):
            category = int(random.integers(2))
            left, top = random.integers(1, SIDE - 26, 2).tolist()
            width, height = random.integers(14, 24, 2).tolist()
            mask[top - 1 : top + height + 1, left - 1 : left + width + 1] = 255
            pixels[top : top + height, left : left + width] = list(RECTANGLES.values())[category]
            mask[top : top + height, left : left + width] = 1 + category
        Image.fromarray(pixels.astype(np.uint8)).save(folder / "images" / f"{number}.png")
        drawn = Image.fromarray(mask, "P" if number % 2 else "L")
        if number % 2:
            drawn.putpalette([value % 256 for value in range(768)])
        drawn.save(folder / "masks" / f"{number}.png")
    (folder / "masks" / "57.png").unlink()
    Image.fromarray(np.zeros((SIDE, SIDE), np.uint8)).save(folder / "masks" / "58.png")
    return folder


def write_colours(folder: Path, count: int) -> Path:
    """Pictures of one colour, each with a text that names it; some rows lack a side."""
    random = np.random.default_rng(1)
    folder.mkdir()
    rows = [["path", "text", "label"]]
    for number in range(count):
        colour = list(COLOURS)[number % 3]
        pixels = np.array(COLOURS[colour]) + random.integers(-20, 20, (16, 16, 3))
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / f"{number}.png")
        path, text = f"{number}.png", f"{('a', 'the')[number % 2]} {colour} one"
        if number < LACKING:
            path, text = (path, "") if number % 2 else ("", text)
        rows.append([path, text, colour])
    with (folder / "manifest.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return folder
