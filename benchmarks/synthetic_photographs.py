"""Photographs of any number that no one took: as large and as hard to compress as the flower photographs.

python -m benchmarks.synthetic_photographs FOLDER --count 6000 [--short-side 256] [--seed 0]
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from finetune.files import replacing

CLASSES = ("daisy", "dandelion", "rose", "sunflower", "tulip")
# Octaves of noise with amplitudes like those of natural pictures give about 22 KB at 256 x 341.
QUALITY = 90
_OCTAVES = (2, 4, 8, 16, 32, 64, 128)
_ROUGHNESS = 0.74


def write_photographs(root: Path, count: int, short_side: int = 256, seed: int = 0, first: int = 0) -> list[Path]:
    """Writes JPEG photographs into class folders below `root`, `class/NUMBER.jpg`; those that are there already stay.

    Args:
        root: A new data root, or one of the same seed and size, which then grows.
        count: Number of pictures; the classes take turns.
        short_side: Height or width in pixels; the other side is a third longer.
        seed: The same seed and numbers give the same bytes.
        first: Number of the first picture.

    Returns:
        The paths of all of them, in the order of their numbers.
    """
    paths = []
    for number in range(first, first + count):
        path = root / CLASSES[number % len(CLASSES)] / f"{number:07}.jpg"
        paths.append(path)
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            with replacing(path) as unfinished:
                photograph(number, short_side, seed).save(unfinished, "JPEG", quality=QUALITY)
    return paths


def photograph(number: int, short_side: int = 256, seed: int = 0) -> Image.Image:
    """Returns one picture: coloured clouds, and in front of them a flower whose petals and colour tell its class."""
    random = np.random.default_rng([seed, number])
    sides = (short_side, short_side * 4 // 3)
    width, height = sides if random.random() < 0.2 else sides[::-1]
    pixels = 128 + sum(_clouds(random, width, height))
    which = number % len(CLASSES)
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    y, x = (y - height * random.uniform(0.35, 0.65)) / short_side, (x - width * random.uniform(0.35, 0.65)) / short_side
    outline = random.uniform(0.2, 0.35) * (1 + 0.4 * np.cos((which + 3) * np.arctan2(y, x) + random.uniform(0, 6)))
    inside = np.clip((outline - np.hypot(y, x)) * 40, 0, 1)[..., None]
    colour = np.roll(np.array([90, 20 * which - 40, -70], np.float32), which)
    return Image.fromarray(np.clip(pixels + inside * colour, 0, 255).astype(np.uint8), "RGB")


def _clouds(random: np.random.Generator, width: int, height: int) -> Iterator[np.ndarray]:
    """Yields each octave of noise, float32 [height, width, 3] around 0."""
    amplitude = 55.0
    for cells in _OCTAVES:
        grid = random.normal(0, amplitude, (cells, cells, 3)).astype(np.float32)
        channels = [
            Image.fromarray(grid[..., channel]).resize((width, height), Image.Resampling.BILINEAR)
            for channel in range(3)
        ]
        yield np.stack([np.asarray(channel) for channel in channels], axis=-1)
        amplitude *= _ROUGHNESS


def main() -> None:
    """Writes the photographs, and says what they are."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("folder", type=Path)
    arguments.add_argument("--count", type=int, default=6000)
    arguments.add_argument("--short-side", type=int, default=256)
    arguments.add_argument("--seed", type=int, default=0)
    given = arguments.parse_args()
    paths = write_photographs(given.folder, given.count, given.short_side, given.seed)
    size = sum(path.stat().st_size for path in paths)
    print(f"{len(paths):,} photographs, {size / 1e6:,.0f} MB, {size / max(1, len(paths)) / 1e3:.1f} KB each")


if __name__ == "__main__":
    main()
