"""What the Kubernetes tests share."""

from __future__ import annotations

from pathlib import Path

import pytest
from coloured_pictures import write_boxes, write_colours, write_masks
from hugging_face_folder import WORDS, save_encoder
from sound_data import make_tones


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="write the golden packages anew (tests/kubeflow)")


def with_config(folder: Path, text: str) -> Path:
    """Writes `tiny.yaml`, whose tasks are tried again once, at once, into a folder, and returns the folder."""
    retries = "kubernetes: {defaults: {retries: {count: 1, backoff_seconds: 0}}}"
    (folder / "tiny.yaml").write_text(f"name: tiny{text}{retries}\n")
    return folder


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with 48 small pictures of two kinds, and `tiny.yaml`, a config that trains on them in a second."""
    import numpy as np
    from PIL import Image

    folder = tmp_path_factory.mktemp("tiny")
    draw = np.random.default_rng(0)
    for split, count in (("train", 12), ("val", 6), ("test", 6)):
        for label, grey in (("dark", 60), ("light", 190)):
            place = folder / "images" / split / label
            place.mkdir(parents=True)
            for number in range(count):
                pixels = (grey + draw.integers(-50, 50, (32, 32, 3))).astype("uint8")
                Image.fromarray(pixels).save(place / f"{number}.png")
    return with_config(
        folder,
        """
data: {root: images, splits: {train: train, val: val, test: test}}
backbone: {name: SmallCNN, weights: random}
training:
  batch_size: 8
  head: {units: [8]}
  phases: [{name: head, unfreeze: all, epochs: 1, learning_rate: 1.0e-3}]
evaluation: {gates: [{metric: accuracy, min: 0.0}]}
""",
    )


@pytest.fixture(scope="session")
def tiny_pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same of pairs of texts, alike or not, on a small BERT."""
    import numpy as np

    folder = tmp_path_factory.mktemp("tiny_pairs")
    draw = np.random.default_rng(0)
    lines = ["one\tother\tlabel"]
    for number in range(96):
        one = draw.choice(WORDS, 3)
        other = draw.choice(WORDS, 3) if number % 2 else one
        lines.append(f"{' '.join(one)} {number}\t{' '.join(other)}\t{('alike', 'other')[number % 2]}")
    (folder / "pairs.tsv").write_text("\n".join(lines))
    save_encoder(folder / "bert")
    return with_config(
        folder,
        """
data: {root: pairs.tsv, layout: table, text_columns: [one, other]}
backbone: {name: BERT, weights: bert, text: {max_pieces: 16}}
training:
  batch_size: 8
  head: {units: [8]}
  phases: [{name: head, unfreeze: all, epochs: 1, learning_rate: 1.0e-3}]
evaluation: {gates: [{metric: accuracy, min: 0.0}]}
""",
    )


@pytest.fixture(scope="session")
def tiny_sides(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same of pictures with words, joined by `concat`; some lack the picture and some the words."""
    import numpy as np
    from PIL import Image

    folder = tmp_path_factory.mktemp("tiny_sides")
    draw = np.random.default_rng(0)
    lines = ["path,text,label"]
    for number in range(96):
        label, grey = (("dark", 60), ("light", 190))[number % 2]
        pixels = (grey + draw.integers(-50, 50, (32, 32, 3))).astype("uint8")
        Image.fromarray(pixels).save(folder / f"{number}.png")
        path, text = f"{number}.png", f"a {label} one {number}"
        lines.append(f"{'' if number % 8 == 1 else path},{'' if number % 8 == 4 else text},{label}")
    (folder / "sides.csv").write_text("\n".join(lines))
    (folder / "words.txt").write_text("a 1 0 0\ndark 0 1 0\nlight 0 -1 1\none 0 0 1\n")
    return with_config(
        folder,
        """
data: {root: ., manifest: sides.csv}
backbones:
  image: {name: SmallCNN, weights: random}
  text: {name: GloVe, weights: words.txt, text: {max_words: 6}}
training:
  batch_size: 8
  fusion: concat
  head: {units: [8]}
  calibration: temperature
  phases: [{name: head, unfreeze: all, epochs: 1, learning_rate: 1.0e-3}]
evaluation: {gates: [{metric: accuracy, min: 0.0}], baselines: [majority]}
""",
    )


@pytest.fixture(scope="session")
def tiny_boxes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same of pictures with boxes."""
    folder = tmp_path_factory.mktemp("tiny_boxes")
    write_boxes(folder / "data")
    return with_config(
        folder,
        """
task: detection
data: {root: data, manifest: coco.json, max_bad_fraction: 0.1}
backbone: {name: MobileNetV2, weights: random, image_size: 64, arguments: {alpha: 0.35}}
augmentation: {horizontal_flip: true, random_resized_crop: 0.6}
training:
  batch_size: 8
  phases: [{name: head, unfreeze: all, epochs: 1, learning_rate: 1.0e-3}]
evaluation: {gates: [{metric: box_map_50, min: 0.0}]}
""",
    )


@pytest.fixture(scope="session")
def tiny_masks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same of pictures with masks."""
    folder = tmp_path_factory.mktemp("tiny_masks")
    write_masks(folder / "data")
    return with_config(
        folder,
        """
task: segmentation
data: {root: data, max_bad_fraction: 0.1}
backbone: {name: MobileNetV2, weights: random, image_size: 64, arguments: {alpha: 0.35}}
augmentation: {horizontal_flip: true, random_resized_crop: 0.6}
training:
  batch_size: 8
  phases: [{name: head, unfreeze: all, epochs: 1, learning_rate: 1.0e-3}]
evaluation: {gates: [{metric: mean_iou, min: 0.0}], baselines: [majority]}
""",
    )


@pytest.fixture(scope="session")
def tiny_aligned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same of pictures and texts that are brought into one space; some lack a side."""
    folder = tmp_path_factory.mktemp("tiny_aligned")
    write_colours(folder / "data", 96)
    (folder / "words.txt").write_text("blue 0 0 1\ngreen 0 1 0\nred 1 0 0\na .1 .1 .1\none .1 0 .1\n")
    return with_config(
        folder,
        """
data: {root: data, manifest: manifest.csv}
backbones:
  image: {name: SmallCNN, weights: random, image_size: 16}
  text: {name: GloVe, weights: words.txt, text: {max_words: 4}}
training:
  batch_size: 16
  fusion: {name: contrastive, width: 16, prompts: ["a {} one", "the {} one"]}
  head: {units: [], dropout: 0.0}
  phases: [{name: head, unfreeze: all, epochs: 1, learning_rate: 1.0e-3}]
evaluation: {gates: [{metric: accuracy, min: 0.0}], baselines: [majority]}
""",
    )


@pytest.fixture(scope="session")
def tiny_tones(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same of sounds, whose speakers are in one split each."""
    from sound_models import tone_network

    folder = tmp_path_factory.mktemp("tiny_tones")
    make_tones(folder / "tones", speakers=12)
    tone_network(frames=20, bands=16).save(folder / "tones.keras")
    return with_config(
        folder,
        """
data: {root: tones, manifest: manifest.csv, group_column: speaker}
backbone:
  file: tones.keras
  modality: audio
  audio: {bands: 16, high_hz: 3800, patch_frames: 20, patch_hop: 10, max_patches: 4}
augmentation: {time_shift: 0.2, gain_db: 6, noise: 0.05, time_mask: 2, band_mask: 1}
training:
  batch_size: 16
  head: {units: []}
  phases: [{name: head, unfreeze: all, epochs: 1, learning_rate: 1.0e-3}]
evaluation: {gates: [{metric: accuracy, min: 0.0}]}
""",
    )
