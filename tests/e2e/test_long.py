"""The promises that take minutes to keep: `make test-all`."""

from __future__ import annotations

import json
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import yaml

from finetune.config import Config
from pipeline.plan import node_ids
from registry.versions import versions

pytestmark = pytest.mark.long
pytest.importorskip("tfx")

ROOT = Path(__file__).parents[2]
FINETUNE = str(Path(sys.executable).with_name("finetune"))


def finetune(*arguments: object, **options) -> subprocess.CompletedProcess:
    command = [FINETUNE, *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, **options)


def weights(model: str) -> dict[str, np.ndarray]:
    import tensorflow as tf

    reader = tf.train.load_checkpoint(str(Path(model) / "variables" / "variables"))
    names = [name for name in reader.get_variable_to_shape_map() if "CHECKPOINTABLE" not in name]
    return {name: reader.get_tensor(name) for name in names}


def test_killed_in_every_component_it_completes_with_the_same_model(raw_config, tmp_path):
    """`kill -9` as soon as a component starts, then the same command; so for each component in turn."""
    config = tmp_path / "config.yaml"
    config.write_text(yaml.safe_dump({**raw_config, "output_dir": str(tmp_path / "killed")}))
    for node in node_ids(Config.model_validate(raw_config)):
        command = [FINETUNE, "run", config]
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, bufsize=1) as run:
            for line in run.stdout:
                if f"{node}: started" in line:
                    run.send_signal(signal.SIGKILL)
                    break
        assert run.returncode == -signal.SIGKILL, f"the run ended before {node} started"
    summary = tmp_path / "summary.json"
    completed = finetune("run", config, "--summary", summary)
    assert completed.returncode == 0, completed.stdout
    pushed = json.loads(summary.read_text())["pushed_model"]
    assert len(versions(Path(pushed).parent)) == 1

    undisturbed = finetune("run", config, f"output_dir={tmp_path / 'undisturbed'}", "--summary", summary)
    assert undisturbed.returncode == 0, undisturbed.stdout
    expected = weights(json.loads(summary.read_text())["pushed_model"])
    found = weights(pushed)
    assert set(found) == set(expected)
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value, err_msg=name)


def test_the_command_keeps_its_exit_codes(raw_config, tmp_path):
    config = tmp_path / "config.yaml"
    config.write_text(yaml.safe_dump(raw_config))
    out = f"output_dir={tmp_path / 'out'}"
    assert finetune("run", config, out, "training.sed=1").returncode == 2
    assert finetune("run", tmp_path / "absent.yaml").returncode == 2
    assert finetune("run").returncode == 2
    refused = finetune("run", config, out, "evaluation.gates=[{metric: accuracy, min: 1.1}]")
    assert refused.returncode == 3, refused.stdout
    assert "REFUSED" in refused.stdout
    assert "1.1" in refused.stdout
    (tmp_path / "empty").mkdir()
    failed = finetune("run", config, f"data.root={tmp_path / 'empty'}", f"output_dir={tmp_path / 'failed'}")
    assert failed.returncode == 1
    assert "ImageExampleGen" in failed.stdout
    assert failed.stderr == ""


def test_the_demo_shows_a_pushed_model_beside_the_one_from_scratch(tmp_path):
    start = time.monotonic()
    done = finetune("demo", "--directory", tmp_path / "digits")
    print(f"demo: {time.monotonic() - start:.0f} s")
    assert done.returncode == 0, done.stdout + done.stderr
    (summary_file,) = (tmp_path / "digits" / "runs").glob("*/summary.json")
    summary = json.loads(summary_file.read_text())
    assert summary["status"] == "pushed"
    assert summary["splits"] == {"train": 100, "val": 100, "test": 696}
    assert summary["metrics"]["accuracy"] > summary["baselines"]["from_scratch"]["accuracy"]
    seconds = {component["id"]: component["seconds"] for component in summary["components"]}
    print(f"Evaluator on 696 pictures of 32 x 32: {seconds['Evaluator']} s")
    images = sorted((tmp_path / "digits" / "images" / "test" / "7").iterdir())[:3]
    predicted = finetune("predict", summary["pushed_model"], *images, "--json")
    assert predicted.returncode == 0, predicted.stderr
    rows = [json.loads(line) for line in predicted.stdout.splitlines()]
    assert [row["file"] for row in rows] == [str(path) for path in images]
    assert all(set(row["probabilities"]) == set("56789") for row in rows)


def test_spam_is_told_as_well_as_the_readme_states(real_data, tmp_path):
    """The same pipeline and gates as for images, on texts and a table of word vectors."""
    found = []
    for seed in (1, 2, 3):
        done = finetune(
            "run",
            "configs/sms_spam.yaml",
            f"data.root={real_data / 'text' / 'sms_spam.tsv'}",
            f"backbone.weights={real_data / 'weights' / 'glove_6b_50d_5k_words.json'}",
            f"training.seed={seed}",
            f"output_dir={tmp_path / 'out'}",
            "--summary",
            tmp_path / "summary.json",
        )
        assert done.returncode == 0, done.stdout + done.stderr
        summary = json.loads((tmp_path / "summary.json").read_text())
        assert sum(summary["splits"].values()) == 5574
        found.append((summary["metrics"]["accuracy"], summary["metrics"]["macro_f1"]))
    print(f"accuracy and macro F1 over seeds 1, 2, 3: {found}")
    accuracies, scores = zip(*found, strict=True)
    assert statistics.median(accuracies) >= 0.965
    assert statistics.median(scores) >= 0.92


def test_flowers_reach_the_accuracy_that_the_readme_states(real_data, tmp_path):
    accuracies = []
    for seed in (1, 2, 3):
        done = finetune(
            "run",
            "configs/flowers.yaml",
            f"data.root={real_data / 'images' / 'flower_photos'}",
            f"backbone.weights={real_data / 'weights' / 'mobilenet_v2_0.35_224_no_top.h5'}",
            f"training.seed={seed}",
            f"output_dir={tmp_path / 'out'}",
            "evaluation.gates=[{metric: accuracy, min: 0.8}]",
            "--summary",
            tmp_path / "summary.json",
        )
        assert done.returncode == 0, done.stdout + done.stderr
        summary = json.loads((tmp_path / "summary.json").read_text())
        assert summary["splits"]["test"] == 150
        accuracies.append(summary["metrics"]["accuracy"])
    print(f"accuracy over seeds 1, 2, 3: {accuracies}")
    assert statistics.median(accuracies) >= 0.87
