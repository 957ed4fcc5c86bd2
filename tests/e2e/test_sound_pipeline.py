"""The main job for sounds in small: files of several kinds in, log-mel patches, gated, pushed, served."""

from __future__ import annotations

import base64
import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sound_data import PITCHES, make_tones, sound_file, tone

from finetune.config import Config
from pipeline.plan import node_ids

pytest.importorskip("tfx")

pytestmark = pytest.mark.by_test


AUDIO = {"bands": 16, "high_hz": 3800, "patch_frames": 20, "patch_hop": 10, "max_patches": 4}


@pytest.fixture(scope="module")
def sound_run(runner, tmp_path_factory) -> dict:
    from sound_models import tone_network

    folder = tmp_path_factory.mktemp("sounds")
    tone_network(AUDIO["patch_frames"], AUDIO["bands"]).save(folder / "tones.keras")
    raw = {
        "name": "tones",
        "output_dir": str(folder / "runs"),
        "data": {
            "root": str(make_tones(folder / "tones", speakers=12, takes=3)),
            "manifest": "manifest.csv",
            "group_column": "speaker",
            "max_bad_fraction": 0.1,
        },
        "backbone": {"file": str(folder / "tones.keras"), "modality": "audio", "audio": AUDIO},
        "training": {
            "batch_size": 16,
            "batch_norm": "train",
            "head": {"units": [], "dropout": 0.0},
            "phases": [
                {"name": "head", "epochs": 2, "learning_rate": 1e-2},
                {"name": "tune", "unfreeze": "all", "epochs": 20, "learning_rate": 1e-2},
            ],
        },
        "augmentation": {"time_shift": 0.2, "gain_db": 6, "noise": 0.05, "time_mask": 2, "band_mask": 1, "mixup": 0.2},
        "evaluation": {"baselines": ["logistic_regression"], "gates": [{"metric": "accuracy", "min": 0.5}]},
    }
    wav = folder / "tones" / "wav"
    bad = {"text.wav": b"not a sound", "silent.wav": sound_file(np.zeros(800)), "cut.flac": b"fLaC" + bytes(80)}
    for name, content in bad.items():
        (wav / name).write_bytes(content)
    with (folder / "tones" / "manifest.csv").open("a") as manifest:
        manifest.writelines(f"wav/{name},low,s0\n" for name in bad)
    return {**runner.run(raw=raw), "_raw": raw}


def artifacts(summary: dict, node: str, output: str) -> Path:
    (folder,) = (Path(summary["output_dir"]) / "artifacts" / node / output).iterdir()
    return folder


def examples_of(folder: Path, split: str) -> list:
    import tensorflow as tf

    from transforms.records import read_records

    files = [str(path) for path in sorted(folder.glob(f"Split-{split}/*"))]
    return [tf.train.Example.FromString(one).features.feature for one in read_records(files).as_numpy_iterator()]


def test_sounds_become_a_pushed_model(sound_run):
    assert sound_run["error"] is None
    assert sound_run["status"] == "pushed", sound_run["gates"]
    assert sound_run["modality"] == "audio"
    assert [component["id"] for component in sound_run["components"]] == node_ids(
        Config.model_validate(sound_run["_raw"])
    )
    assert sum(sound_run["splits"].values()) == 108
    report = json.loads((artifacts(sound_run, "AudioExampleGen", "examples") / "ingest_report.json").read_text())
    assert [file["reason"] for file in report["skipped"]] == ["damaged", "silent", "not a sound"]
    assert sound_run["metrics"]["accuracy"] > 0.8


def test_no_speaker_is_in_two_splits(sound_run):
    folder = artifacts(sound_run, "AudioExampleGen", "examples")
    speakers = [
        {each["group"].bytes_list.value[0] for each in examples_of(folder, split)} for split in ("train", "val", "test")
    ]
    assert all(speakers)
    assert sum(map(len, speakers)) == len(set.union(*speakers)) == 12


def test_sounds_travel_as_bytes_and_never_as_lists_of_floats(sound_run):
    folders = (
        artifacts(sound_run, "AudioExampleGen", "examples"),
        artifacts(sound_run, "Transform", "transformed_examples"),
    )
    raw, transformed = (examples_of(folder, "train") for folder in folders)
    for feature in (*raw, *transformed):
        assert {each.WhichOneof("kind") for each in feature.values()} <= {"bytes_list", "int64_list"}
    assert all(each["audio"].bytes_list.value[0].startswith(b"RIFF") for each in raw)


def test_raw_bytes_are_served_as_the_training_path_sees_them(sound_run):
    """Frames computed without TensorFlow, and the exported weights, put together by hand, against the pushed model."""
    import tensorflow as tf
    import tensorflow_transform as tft

    from finetune.config import BackboneConfig, TrainingConfig
    from trainer_module.backbones.model import build_network
    from trainer_module.backbones.sources import record_of
    from trainer_module.examples.input_data import evaluation_batches, load_split
    from transforms.log_mel import log_mel, patch_samples
    from transforms.modalities import MODALITIES
    from transforms.records import serialise
    from transforms.tasks import TASKS, Labels

    pushed = tf.saved_model.load(sound_run["pushed_model"])
    serve, raw = pushed.signatures["serving_default"], sound_run["_raw"]
    config = BackboneConfig.model_validate(raw["backbone"])
    _, model = build_network(config, TrainingConfig.model_validate(raw["training"]), classes=3)
    for variable, trained in zip(model.variables, pushed._weights, strict=True):
        variable.assign(trained)

    files = [sound_file(tone(hertz, seconds)) for hertz, seconds in ((300, 0.01), (900, 0.3), (1800, 2.0))]
    patches = np.zeros((3, 4, 20, 16), np.float32)
    for row, data in zip(patches, files, strict=True):
        samples = np.frombuffer(data[44:], "<i2") / 32768
        first, step = patch_samples(config.audio), 1600
        count = int(np.clip(np.ceil((len(samples) - first) / step), 0, 3)) + 1
        length = first + step * (count - 1)
        frames = log_mel(np.pad(samples[:length], (0, max(0, length - len(samples)))), config.audio)
        row[:count] = [frames[10 * n : 10 * n + 20] for n in range(count)]
    served = serve(tf.constant(files))["probabilities"].numpy()
    np.testing.assert_allclose(served, model(patches, training=False), rtol=0, atol=1e-4)
    as_examples = serve(tf.constant([serialise({"audio": data}) for data in files]))["probabilities"].numpy()
    np.testing.assert_array_equal(as_examples, served)

    # And what Beam wrote for the Trainer is what serving makes of the same sounds, whatever their rates.
    transform = tft.TFTransformOutput(str(artifacts(sound_run, "Transform", "transform_graph")))
    split = load_split(
        [f"{artifacts(sound_run, 'Transform', 'transformed_examples')}/Split-val/*"],
        MODALITIES["audio"].inputs(record_of(config), transform),
        Labels(TASKS["single_label"], 3),
    )
    ingested = {
        each["sha256"].bytes_list.value[0].decode(): each["audio"].bytes_list.value[0]
        for each in examples_of(artifacts(sound_run, "AudioExampleGen", "examples"), "val")
    }
    (batch,) = [value for value, _ in evaluation_batches(split, 100)]
    served = serve(tf.constant([ingested[key] for key in split.keys]))["probabilities"]
    np.testing.assert_allclose(served, model(batch, training=False), rtol=0, atol=1e-4)


def test_the_report_draws_and_plays_sounds(sound_run):
    page = Path(sound_run["report"]).read_text()
    sounds = re.findall(r'<audio controls preload="none" src="data:audio/flac;base64,([^"]+)"', page)
    assert sounds
    assert all(base64.b64decode(sound).startswith(b"fLaC") for sound in sounds)
    pictures = re.findall(r'<img src="data:image/png;base64,([^"]+)"[^>]*>\s*<audio', page)
    assert len(pictures) == len(sounds)
    with Image.open(io.BytesIO(base64.b64decode(pictures[0]))) as drawn:
        assert drawn.size[1] == 96
    assert "http" not in "".join(re.findall(r'src="([^"]{0,40})', page)), "the page is whole by itself"


def test_predict_answers_for_files_of_every_kind(sound_run, tmp_path):
    from typer.testing import CliRunner

    from finetune_cli.main import app

    sound = tone(PITCHES["high"], 0.5, 44_100)
    names = ["a.wav", "b.flac", "c.wav", "d.ogg"]
    kinds = [("WAV", "PCM_24"), ("FLAC", "PCM_16"), ("WAV", "FLOAT"), ("OGG", "VORBIS")]
    for name, (kind, subtype) in zip(names, kinds, strict=True):
        (tmp_path / name).write_bytes(sound_file(sound, 44_100, kind, subtype))
    (tmp_path / "e.wav").write_bytes((tmp_path / "c.wav").read_bytes()[:-9])
    model = str(Path(sound_run["pushed_model"]).parent)
    done = CliRunner().invoke(app, ["predict", model, *(str(tmp_path / name) for name in (*names, "e.wav")), "--json"])
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [row.get("label") for row in rows] == ["high"] * 4 + [None]
    np.testing.assert_allclose(rows[0]["probabilities"]["high"], rows[1]["probabilities"]["high"], atol=1e-3)
    assert rows[4]["error"].startswith("truncated: ")
