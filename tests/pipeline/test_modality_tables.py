"""Every modality keeps the contract of each part of the pipeline that it concerns, and none lacks one."""

from __future__ import annotations

import io
import sys
import wave
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import components.data_gate.modalities as of_data_gate
from components.bulk_inferrer.modalities.contract import check_modality as check_preview
from finetune.config import BackboneConfig
from finetune_cli.modalities import MODALITIES as COMMAND_MODALITIES
from finetune_cli.modalities.contract import check_modality as check_command
from pipeline.modalities import MODALITY_TABLES
from trainer_module.backbones.sources import record_of
from transforms.sides import pack

pytestmark = pytest.mark.by_test_current

TABLES = {**MODALITY_TABLES, "finetune_cli.modalities": COMMAND_MODALITIES}
# Of a modality that it lacks, checks of the data know the features alone.
OPTIONAL = {of_data_gate.__name__}


def picture(seed: int, file_format: str = "PNG", **save) -> bytes:
    noise = np.random.default_rng(seed).integers(0, 256, (10, 12, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).save(buffer, file_format, **save)
    return buffer.getvalue()


def image_root(folder: Path) -> Path:
    for number in range(24):
        path = folder / "pictures" / ("disc", "ring")[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(picture(number))
    return folder / "pictures"


def text_root(folder: Path) -> Path:
    path = folder / "texts.csv"
    rows = [f"{('boat', 'bird')[number % 2]} {number},{('sea', 'sky')[number % 2]}" for number in range(60)]
    path.write_text("\n".join(["text,label", *rows]))
    return path


def words(folder: Path) -> BackboneConfig:
    (folder / "words.txt").write_text("boat 1 0.5\nbird 0 -1\n")
    return BackboneConfig(name="GloVe", weights=str(folder / "words.txt"), text={"max_words": 4})


def wav(seed: int, rate: int = 8000, channels: int = 1, seconds: float = 0.5) -> bytes:
    count = round(rate * seconds)
    tone = np.sin(2 * np.pi * (300 + 40 * seed) * np.arange(count) / rate)
    samples = np.tile((8000 * tone).astype("<i2")[:, np.newaxis], channels)
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(samples.tobytes())
    return buffer.getvalue()


def sound_root(folder: Path) -> Path:
    for number in range(24):
        path = folder / "sounds" / ("low", "high")[number % 2] / f"{number}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(wav(number))
    return folder / "sounds"


def patches(folder: Path) -> BackboneConfig:
    keras = pytest.importorskip("tf_keras")
    log_mel = keras.Input((20, 16, 1))
    path = folder / "network.keras"
    keras.Model(log_mel, keras.layers.Conv2D(4, 3, name="conv")(log_mel)).save(path)
    audio = {"sample_rate": 8000, "bands": 16, "high_hz": 3800, "patch_frames": 20, "patch_hop": 10, "max_patches": 3}
    return BackboneConfig(file=str(path), modality="audio", audio=audio)


def pair_root(folder: Path) -> Path:
    root = image_root(folder)
    rows = [f"{('disc', 'ring')[n % 2]}/{n}.png,the boat {n},{('sea', 'sky')[n % 2]}" for n in range(24)]
    (root / "manifest.csv").write_text("\n".join(["path,text,label", *rows, ",words alone,sea", "disc/0.png,,sky"]))
    return root


def both(folder: Path) -> BackboneConfig:
    image = {"name": "SmallCNN", "weights": "random", "image_size": 8}
    text = {"name": "GloVe", "weights": words(folder).weights, "text": {"max_words": 4}}
    return BackboneConfig.model_validate({"sides": {"image": image, "text": text}})


ROOTS = {"audio": sound_root, "image": image_root, "image_text": pair_root, "text": text_root}
SETTINGS = {"image_text": {"manifest": "manifest.csv", "with_text": True}}
CONFIGS = {
    "audio": patches,
    "image_text": both,
    "image": lambda _: BackboneConfig(name="SmallCNN", weights="random", image_size=8),
    "text": words,
}
VALUES = {
    "audio": [wav(1), wav(2, 44100, 2, 0.01), wav(3, 48000), wav(4, 11025, seconds=3), wav(5, 8001)],
    "image": [picture(1), picture(2, "JPEG"), picture(3, "BMP")],
    "image_text": [
        pack({"image": picture(1), "text": b"the boat"}),
        pack({"text": b"\n\nbird"}),
        pack({"image": picture(2)}),
    ],
    "text": [b"the boat", b"", b"\xff\xfe not utf-8", b"\n\nbird", "🙂 boat".encode()],
}
SOUND_BATCH = np.random.default_rng(0).normal(size=(2, 3, 20, 16)).astype(np.float32)
SOUND_BATCH[1, 1:] = 0
BATCHES = {
    "audio": SOUND_BATCH,
    "image": np.full((2, 8, 8, 3), 7, np.float32),
    "image_text": {
        "image": np.full((2, 8, 8, 3), 7, np.float32),
        "text": np.array([[1, 2, 0, 0], [0, 0, 0, 0]]),
        "there": np.array([[1, 1], [1, 0]]),
    },
    "text": np.array([[1, 2, 0, 0], [0, 0, 0, 0]]),
}
EXAMPLES = {
    "audio": np.random.default_rng(0).uniform(0, 1, (30, 16)).astype(np.float32),
    "image": np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8),
    "image_text": None,
    "text": np.array([1, 2, 0, 0]),
}


def test_no_part_lacks_a_modality():
    names = {table: set(entries) for table, entries in TABLES.items()}
    assert set(map(frozenset, names.values())) == {frozenset(ROOTS)}, names
    assert set(TABLES) | OPTIONAL == {
        name for name in sys.modules if name.endswith(".modalities") and name != "pipeline.modalities"
    }


@pytest.mark.parametrize("name", TABLES["components.example_gen.modalities"])
def test_the_ingest_has_what_it_asks_of_a_modality(name, tmp_path):
    contract = pytest.importorskip("components.example_gen.modalities.contract")
    contract.check_modality(name, ROOTS[name](tmp_path), tmp_path / "out", SETTINGS.get(name, {}))


@pytest.mark.parametrize("name", TABLES["transforms.modalities"])
def test_transform_has_what_it_asks_of_a_modality(name, tmp_path):
    contract = pytest.importorskip("transforms.modalities.contract")
    contract.check_modality(record_of(CONFIGS[name](tmp_path)), VALUES[name], tmp_path)


@pytest.mark.parametrize("name", TABLES["trainer_module.modalities"])
def test_the_trainer_has_what_it_asks_of_a_modality(name, tmp_path):
    contract = pytest.importorskip("trainer_module.modalities.contract")
    tf = pytest.importorskip("tensorflow")
    value = EXAMPLES[name]
    batch = tf.nest.map_structure(tf.constant, BATCHES[name])
    contract.check_modality(CONFIGS[name](tmp_path), None if value is None else tf.constant(value), batch)


@pytest.mark.parametrize("name", TABLES["components.bulk_inferrer.modalities"])
def test_the_bulk_inferrer_has_what_it_asks_of_a_modality(name, tmp_path):
    check_preview(name, VALUES[name][0], tmp_path)


@pytest.mark.parametrize("name", TABLES["finetune_cli.modalities"])
def test_commands_have_what_they_ask_of_a_modality(name):
    check_command(name)


@pytest.mark.parametrize(("turned", "size"), [(1, (12, 10)), (6, (10, 12)), (3, (12, 10))])
def test_a_thumbnail_stands_as_the_network_sees_its_picture(turned, size, tmp_path):
    from components.bulk_inferrer.modalities import MODALITIES

    exif = Image.Exif()
    exif[0x0112] = turned
    encoded = picture(1, "JPEG", exif=exif.tobytes(), quality=100)
    name = MODALITIES["image"].preview(encoded, tmp_path / "1")["image"]
    with Image.open(tmp_path / name) as shown:
        ratio = shown.size[0] / shown.size[1]
        assert ratio == pytest.approx(size[0] / size[1], rel=0.02)


def test_a_preview_that_writes_elsewhere_is_found(tmp_path, monkeypatch):
    class Elsewhere:
        def preview(self, value: bytes, stem: Path) -> dict[str, str]:
            return {"image": "other.png"}

    monkeypatch.setitem(TABLES["components.bulk_inferrer.modalities"], "elsewhere", Elsewhere())
    with pytest.raises(AssertionError, match=r"names other\.png, and writes"):
        check_preview("elsewhere", b"", tmp_path)
