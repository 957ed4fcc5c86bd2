"""One small pipeline run, shared by all end-to-end tests: importing TFX is the dear part, so it happens once."""

from __future__ import annotations

import copy
import time
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from finetune.events import Event, subscribe
from finetune.file_stats import CLOCK_NS

CLASSES = ("disc", "ring", "square")
SIZE = 16


def draw(kind: str, seed: int) -> Image.Image:
    """A noisy grey picture, 20 x 24, of one of the classes at a random place."""
    random = np.random.default_rng([CLASSES.index(kind), seed])
    y, x = np.mgrid[0:20, 0:24]
    radius = np.hypot(y - random.integers(8, 12), x - random.integers(9, 15))
    shape = {
        "disc": radius < 6,
        "ring": (radius > 4) & (radius < 7),
        "square": (abs(y - 10) < 6) & (abs(x - 12) < 6),
    }[kind]
    return Image.fromarray((shape * 150 + random.integers(0, 80, shape.shape)).astype(np.uint8))


def make_images(root: Path, per_class: dict[str, int]) -> Path:
    """Writes root/<split>/<class>/*.png."""
    for number, (split, count) in enumerate(per_class.items()):
        for kind in CLASSES:
            folder = root / split / kind
            folder.mkdir(parents=True)
            for index in range(count):
                draw(kind, 1000 * number + index).save(folder / f"{index:03}.png")
    return root


@pytest.fixture(scope="session")
def images(tmp_path_factory) -> Path:
    root = make_images(tmp_path_factory.mktemp("images"), {"train": 12, "val": 6, "test": 8})
    time.sleep(CLOCK_NS / 1e9)  # Of data that are any younger, no run keeps its answer.
    return root


@pytest.fixture(scope="session")
def raw_config(images, tmp_path_factory) -> dict:
    """A config that trains in seconds and is certain to be blessed."""
    return {
        "name": "shapes",
        "output_dir": str(tmp_path_factory.mktemp("runs")),
        "data": {"root": str(images)},
        "backbone": {"name": "SmallCNN", "weights": "random", "image_size": SIZE},
        "training": {
            "batch_size": 8,
            "batch_norm": "train",
            "head": {"units": [], "dropout": 0.0},
            "phases": [
                {"name": "head", "epochs": 2, "learning_rate": 1e-2},
                {"name": "tune", "unfreeze": "all", "epochs": 6, "learning_rate": 3e-3},
            ],
        },
        "serving": {"measure_seconds": 1},
        "evaluation": {
            "gates": [
                {"metric": "accuracy", "min": 0.1},
                {"metric": "accuracy", "min": -1, "relative_to": "champion"},
                {"metric": "loss", "max": 100, "slice": {"label": "disc"}},
            ]
        },
    }


class Runner:
    """Runs configs in this process and keeps the events that the live view would show."""

    def __init__(self, raw: dict, folder: Path):
        self._raw = raw
        self._folder = folder
        self.events: list[Event] = []

    def run(self, *overrides: str, raw: dict | None = None) -> dict:
        from finetune.config import load_config
        from pipeline.local import run_pipeline

        path = self._folder / "config.yaml"
        path.write_text(yaml.safe_dump(copy.deepcopy(raw or self._raw)))
        self.events = []
        with subscribe(self.events.append):
            return run_pipeline(load_config(path, overrides)).plain()


@pytest.fixture(scope="session")
def runner(raw_config, tmp_path_factory) -> Runner:
    return Runner(raw_config, tmp_path_factory.mktemp("configs"))


@pytest.fixture(scope="session")
def first_run(runner) -> dict:
    """Summary of the first run of the shared config, and the events beside it under `_events`."""
    summary = runner.run()
    return {**summary, "_events": list(runner.events)}
