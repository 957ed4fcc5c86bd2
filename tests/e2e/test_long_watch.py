"""`finetune watch` on real digits that come in spans, killed at random moments: `make test-all`."""

from __future__ import annotations

import itertools
import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from finetune.config import load_config
from registry.versions import versions

pytestmark = pytest.mark.long
pytest.importorskip("tfx")

ROOT = Path(__file__).parents[2]
FINETUNE = str(Path(sys.executable).with_name("finetune"))
KILLS = int(os.environ.get("FINETUNE_KILLS", "20"))
# That a watch tells while it decides on a span and trains.
LINES = 40
PER_CLASS = 20


def place_of(folder: Path) -> Path:
    """Writes a config of digits in spans, each of which is enough to train."""
    folder.mkdir()
    raw = {
        "name": "digits",
        "output_dir": str(folder / "out"),
        "data": {"root": f"{folder}/store/{{SPAN}}"},
        "backbone": {"name": "SmallCNN", "weights": "random", "image_size": 16},
        "training": {
            "batch_size": 16,
            "batch_norm": "train",
            "head": {"units": [], "dropout": 0.0},
            "phases": [{"name": "all", "unfreeze": "all", "epochs": 4, "learning_rate": 3e-3}],
        },
        "serving": {"measure_seconds": 1},
        "evaluation": {"gates": [{"metric": "accuracy", "min": 0.05}], "baselines": []},
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(raw))
    return folder


def arrive(place: Path, span: int) -> None:
    """Puts the next pictures of the digits 5 to 9 there, as a folder that is whole when it has its name."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    made = place / "store" / f".{span}"
    for digit in range(5, 10):
        (made / str(digit)).mkdir(parents=True)
        pictures = digits.images[digits.target == digit][(span - 1) * PER_CLASS : span * PER_CLASS]
        for number, picture in enumerate(pictures):
            Image.fromarray((picture * 15).astype(np.uint8)).save(made / str(digit) / f"{number:02}.png")
    made.rename(place / "store" / str(span))


def watched(place: Path, lines: int | None = None) -> bool:
    """Watches until all is decided on, or so many lines are told; then it and its run are killed, as by a reboot.

    Returns:
        Whether it was killed.
    """
    command = [FINETUNE, "watch", str(place / "config.yaml"), "--once", "--every=1", "--settle=0"]
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    ) as watch:
        told = 0
        for told, _ in enumerate(watch.stdout, start=1):
            if told == lines:
                os.killpg(watch.pid, signal.SIGKILL)
    assert lines is not None or watch.returncode == 0
    return told == lines


def left(place: Path) -> tuple[list[tuple[str, str, list[str]]], list[int], dict[str, np.ndarray]]:
    """The decisions with their endings and spans, the versions, and the weights of the last one."""
    import tensorflow as tf

    from pipeline.retraining.lineage import store_of

    config = load_config(place / "config.yaml", [])
    recorded = sorted(store_of(config).get_artifacts_by_type("RetrainDecision"), key=lambda one: one.id)
    said = [{name: value.string_value for name, value in one.custom_properties.items()} for one in recorded]
    pushed = versions(config.push_path)
    reader = tf.train.load_checkpoint(str(config.push_path / str(pushed[-1]) / "variables" / "variables"))
    names = [name for name in reader.get_variable_to_shape_map() if "CHECKPOINTABLE" not in name]
    decisions = [(one["action"], one.get("ended", ""), list(json.loads(one["data"]))) for one in said]
    return decisions, pushed, {name: reader.get_tensor(name) for name in names}


def test_three_spans_of_digits_are_trained_on_once_each_whoever_is_killed(tmp_path):
    undisturbed, killed = place_of(tmp_path / "undisturbed"), place_of(tmp_path / "killed")
    for span in (1, 2, 3):
        arrive(undisturbed, span)
        watched(undisturbed)
    moments, met = random.Random(0), 0
    shares = (0, KILLS // 3, 2 * KILLS // 3, KILLS)
    for span, (first, last) in enumerate(itertools.pairwise(shares), start=1):
        arrive(killed, span)
        # Early ones first: a watch that was killed late has little left to be killed at.
        for lines in sorted(moments.randint(1, LINES) for _ in range(first, last)):
            met += watched(killed, lines)
    watched(killed)
    assert met >= KILLS / 2, "most watches had ended before they were killed"
    decisions, pushed, weights = left(killed)
    expected, all_pushed, of_undisturbed = left(undisturbed)
    assert decisions == expected
    assert decisions == [
        ("cold", "pushed", ["1"]),
        ("warm", "pushed", ["1", "2"]),
        ("warm", "pushed", ["1", "2", "3"]),
    ]
    assert pushed == all_pushed == [1, 2, 3]
    assert set(weights) == set(of_undisturbed)
    for name, value in of_undisturbed.items():
        np.testing.assert_array_equal(weights[name], value, err_msg=name)
