"""What a warm start saves and what it costs, and what is forgotten of spans that are no longer trained on.

    make bench-warm     (python -m benchmarks.warm_start [--only time|forgetting] [--seeds N] [--folder FOLDER])

`time`: nine tenths of the digits 5 to 9 are one span, on which the champion is trained, and the last tenth is the next.
Then all of it is trained on from the backbone and from the champion, in one process; seconds are those of the
training alone. `forgetting`: two digits a span and a window of one span, with `data.replay` and without; accuracy is
that of the trained model on pictures of the first two digits that enter no span. Each of these runs is a process of
its own.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
import yaml

import finetune  # noqa: F401  (chooses Keras 2)
from benchmarks.flowers import ROOT
from benchmarks.tables import earlier, machine, save, spread, table
from finetune_cli.demo import handwritten_digits, prepare, to_image

FOLDER = Path("runs/benchmarks/warm_start")
SPANS = ((5, 6), (7, 8), (9, 0))
HELD_OUT = 40  # Pictures of each of the first digits that enter no span.
REPLAY = {"share": 0.3}
GATE = {"metric": "retention", "min": -0.02, "relative_to": "champion", "confidence": 0.95}
# A first model passes, and a later one is held against the champion on what it knows alone.
GATES = [{"metric": "accuracy", "min": 0.2}, GATE]


def write_spans(folder: Path, parts: list[dict[int, list[Any]]]) -> str:
    """Writes one span for each part, pictures by their digit; returns the root that has a place for the span."""
    for number, part in enumerate(parts, start=1):
        for digit, pictures in part.items():
            target = folder / "store" / str(number) / str(digit)
            target.mkdir(parents=True)
            for place, picture in enumerate(pictures):
                to_image(picture).save(target / f"{place:03}.png")
    return f"{folder}/store/{{SPAN}}"


def by_digit() -> dict[int, list[Any]]:
    """Returns the pictures of each digit."""
    pictures, digits = handwritten_digits()
    return {digit: list(pictures[digits == digit]) for digit in range(10)}


def config_of(folder: Path, root: str, weights: Path) -> dict[str, Any]:
    """Returns the recipe of the digits on spans."""
    recipe = yaml.safe_load((ROOT / "configs" / "digits.yaml").read_text())
    backbone = {**recipe["backbone"], "weights": str(weights)}
    return {
        **{key: recipe[key] for key in ("name", "training", "augmentation")},
        "backbone": backbone,
        "data": {"root": root},
        "output_dir": str(folder / "run"),
        "evaluation": {"baselines": [], "gates": GATES},
        "serving": {"measure_seconds": 1},
    }


def run(folder: Path, config: dict[str, Any], *overrides: str) -> dict[str, Any]:
    """Runs the pipeline; returns its summary."""
    file, summary = folder / "config.yaml", folder / "summary.json"
    file.write_text(yaml.safe_dump(config, sort_keys=False))
    summary.unlink(missing_ok=True)
    command = [sys.executable, "-m", "finetune_cli.main", "run", str(file), *overrides, "--summary", str(summary)]
    ended = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    if not summary.is_file() or (found := json.loads(summary.read_text()))["status"] == "failed":
        sys.exit(f"finetune run {' '.join(overrides)} ended with exit code {ended.returncode}:\n{ended.stdout}")
    return found


def time_of_warm_starts(folder: Path, weights: Path, seeds: int) -> list[dict[str, Any]]:
    """Trains champions, then with a tenth more from the backbone and from the champion, all in one process."""
    own = folder / "time"
    shutil.rmtree(own, ignore_errors=True)
    digits = {digit: pictures for digit, pictures in by_digit().items() if digit >= 5}
    old = {digit: [each for place, each in enumerate(found) if place % 10] for digit, found in digits.items()}
    new = {digit: found[::10] for digit, found in digits.items()}
    config = config_of(own, write_spans(own, [old, new]), weights)
    file = own / "config.yaml"
    file.write_text(yaml.safe_dump(config, sort_keys=False))
    for last in (1, 2):
        command = [sys.executable, "-m", "finetune_cli.main", "check-data", str(file), f"data.spans=..{last}"]
        subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    before, now = (Data.of(own / "run", place) for place in (0, 1))
    trained = Trainings(own, config)
    runs = []
    for seed in range(1, seeds + 1):
        trained.model(before, seed, "champion")
        sides = [("cold", ""), ("warm", "champion")]
        # Whoever comes second finds what TensorFlow has kept of the first.
        found = {name: trained.model(now, seed, name, start) for name, start in sides[:: -1 if seed % 2 else 1]}
        runs.append({"seed": seed, **{name: found[name] for name, _ in sides}})
        print(json.dumps(runs[-1]), flush=True)
    return runs


@dataclass(frozen=True)
class Data:
    """What Transform made of some spans."""

    graph: Path
    examples: Path

    @classmethod
    def of(cls, output: Path, place: int) -> Data:
        """Finds that of the how manieth run."""
        found = [
            sorted((output / "artifacts" / "Transform" / kind).iterdir(), key=lambda path: int(path.name))[place]
            for kind in ("transform_graph", "transformed_examples")
        ]
        return cls(*found)

    def files(self, split: str) -> list[str]:
        """The pattern of the files of a split."""
        return [str(self.examples / f"Split-{split}" / "*")]


class Trainings:
    """The product's own training, on data that are transformed."""

    def __init__(self, folder: Path, config: dict[str, Any]):
        self._folder, self._config = folder, config

    def model(self, data: Data, seed: int, name: str, start: str = "") -> dict[str, Any]:
        """Trains a model; returns what that took, and what it gets right of the test split.

        Args:
            data: To train on.
            seed: Of everything random.
            name: Folder for what the next training begins with.
            start: That of the model to go on from; empty for the backbone.
        """
        import tensorflow as tf
        import tensorflow_transform as tft

        from finetune.config import AugmentationConfig, BackboneConfig, DistributionConfig, TrainingConfig
        from trainer_module.examples.input_data import evaluation_batches, labels, load_split
        from trainer_module.phases.state import Snapshot
        from trainer_module.recipe import make_setup, train
        from trainer_module.warm_start.start import Beginning

        work = self._folder / str(seed) / name
        training = {**self._config["training"], "seed": seed, "start_from": "champion" if start else "backbone"}
        backbone = BackboneConfig.model_validate(self._config["backbone"])
        sections = {
            "training": TrainingConfig.model_validate(training),
            "backbone": backbone,
            "augmentation": AugmentationConfig.model_validate(self._config["augmentation"]),
            "distribution": DistributionConfig(),
        }
        settings = {
            **{key: json.loads(section.model_dump_json()) for key, section in sections.items()},
            "task": "single_label",
            "component": "Trainer",
            "code": "benchmark",
            "checkpoint_dir": str(work / "checkpoints"),
            "frozen_features_dir": str(work / "frozen_features"),
        }
        graph = tft.TFTransformOutput(str(data.graph))
        tf.keras.backend.clear_session()
        setup = make_setup(settings, graph, data.files("train"), data.files("val"))
        beginning = Beginning(setup, backbone)
        wall, processor = time.monotonic(), time.process_time()
        if start:
            setup, _ = beginning.start(str(self._folder / str(seed) / start))
        trained = train(setup, settings, name)
        wall, processor = time.monotonic() - wall, time.process_time() - processor
        beginning.state(setup, Snapshot.of(setup.model).weights, 1.0, "").write(work)
        test = load_split(data.files("test"), setup.train.inputs, setup.train.labels)
        batches = evaluation_batches(test, setup.training.batch_size)
        said = np.concatenate([setup.model(inputs, training=False).numpy().argmax(axis=1) for inputs, _ in batches])
        return {
            "processor_seconds": round(processor, 2),
            "seconds": round(wall, 2),
            "accuracy": float((said == labels(test).numpy()).mean()),
            "phases": [
                {key: row.get(key) for key in ("name", "seconds", "epochs", "best_epoch")} for row in trained.rows
            ],
        }


def forgetting(folder: Path, weights: Path, seeds: int) -> list[dict[str, Any]]:
    """Trains span after span, each from the champion before it, with replay and without."""
    runs = []
    digits = by_digit()
    held_out = {digit: digits[digit][:HELD_OUT] for digit in SPANS[0]}
    rest = {digit: digits[digit][HELD_OUT:] if digit in held_out else digits[digit] for digit in digits}
    for seed in range(1, seeds + 1):
        for side, replay in (("replay", REPLAY), ("none", None)):
            own = folder / f"forgetting-{side}-{seed}"
            shutil.rmtree(own, ignore_errors=True)
            root = write_spans(own, [{digit: rest[digit] for digit in span} for span in SPANS])
            config = config_of(own, root, weights)
            config["data"] |= {"window": 1, "replay": replay}
            for last in range(1, len(SPANS) + 1):
                given = (f"training.seed={seed}", "training.start_from=champion", f"data.spans=..{last}")
                summary = run(own, config, *given)
            gate = next(each for each in summary["gates"] if each["metric"] == "retention")
            first = accuracy_on(own / "run", held_out)
            facts = {"accuracy_on_first": first, "retention_passed": gate["passed"], "why": gate["reason"]}
            runs.append({"seed": seed, "side": side, "status": summary["status"], **facts})
            print(json.dumps(runs[-1]), flush=True)
    return runs


def accuracy_on(output: Path, held_out: dict[int, list[Any]]) -> float:
    """Returns the accuracy of the model that was trained last on pictures that it has not seen."""
    models = (output / "artifacts" / "Trainer" / "model").iterdir()
    model = max(models, key=lambda path: int(path.name)) / "Format-Serving"
    folder = output / "held_out"
    for digit, pictures in held_out.items():
        (folder / str(digit)).mkdir(parents=True, exist_ok=True)
        for place, picture in enumerate(pictures):
            to_image(picture).save(folder / str(digit) / f"{place}.png")
    files = sorted(folder.glob("*/*.png"))
    code = (
        "import sys, json, tensorflow as tf\n"
        "served = tf.saved_model.load(sys.argv[1]).signatures['serving_default']\n"
        "files = json.loads(sys.stdin.read())\n"
        "examples = tf.constant([open(file, 'rb').read() for file in files])\n"
        "print(json.dumps([label.decode() for label in served(examples=examples)['label'].numpy()]))\n"
    )
    told = subprocess.run(
        [sys.executable, "-c", code, str(model)],
        input=json.dumps(list(map(str, files))),
        capture_output=True,
        text=True,
        check=True,
    )
    labels = json.loads(told.stdout.splitlines()[-1])
    return sum(label == file.parent.name for label, file in zip(labels, files, strict=True)) / len(files)


def text_of(times: list[dict[str, Any]], forgot: list[dict[str, Any]]) -> str:
    """Writes both parts as tables."""
    parts = [f"Measured on {machine()}."]
    if times:
        rows = [
            [side, *(spread([one[side][key] for one in times]) for key in ("processor_seconds", "seconds", "accuracy"))]
            for side in ("cold", "warm")
        ]
        shares = [one["warm"]["processor_seconds"] / one["cold"]["processor_seconds"] for one in times]
        better = mean(one["warm"]["accuracy"] - one["cold"]["accuracy"] for one in times)
        parts.append(table(["start", "processor seconds of training", "seconds", "test accuracy"], rows))
        parts.append(
            f"A warm start with a tenth more examples takes {spread(shares, 2)} of a cold one's training, over "
            f"{len(times)} seeds; its accuracy is {100 * better:+.2f} points beside that of the cold one, in the mean."
        )
    if forgot:
        rows = []
        for side in ("replay", "none"):
            of_side = [one for one in forgot if one["side"] == side]
            refused = sum(not one["retention_passed"] for one in of_side)
            first = spread([one["accuracy_on_first"] for one in of_side])
            rows.append([side, first, f"{refused} of {len(of_side)}"])
        parts.append(
            table(["replay", "accuracy on the first digits after the last span", "refused by retention"], rows)
        )
    return "\n\n".join(parts)


def main() -> None:
    """Measures what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=("time", "forgetting"))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--folder", type=Path, default=FOLDER)
    asked = parser.parse_args()
    folder = asked.folder.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    prepare(folder / "demo")
    weights = folder / "demo" / "backbone.h5"
    found: dict[str, Any] = earlier("warm_start", {"time": [], "forgetting": []})
    parts = {"time": time_of_warm_starts, "forgetting": forgetting}
    for name in [asked.only] if asked.only else parts:
        found[name] = parts[name](folder, weights, asked.seeds)
        text = text_of(found["time"], found["forgetting"])
        save("warm_start", text, found)
    print(text)


if __name__ == "__main__":
    main()
