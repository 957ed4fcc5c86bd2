"""What a search costs beside runs of the Trainer, and what its best values gain on the test split.

    make bench-tuning     (python -m benchmarks.tuning [--seeds N] [--folder FOLDER])

Flowers, MobileNetV2 0.35: 450 pictures to train on, 150 to validate, and the 150 of val/ to test, which nothing that is
learned or chosen sees. All of it runs in one process, one after the other, so that its shares hold on a busy machine
too: processor seconds and wall beside each other. Runs of the Trainer have the values of the trials, so that they train
for as long, and share what the frozen layers give, as they would in one output folder. What is done is kept in the
folder: a run that was killed goes on.
"""

from __future__ import annotations

import argparse
import itertools
import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import mean, median
from typing import Any

from benchmarks.flowers import SIZE, pictures, subset, transformed, weights_file
from benchmarks.imports import measured
from benchmarks.tables import machine, save, spread, table
from finetune.files import write_text

FOLDER = Path("runs/benchmarks/tuning")
TRAIN, VAL = 600, 150
HEAD_RATE, BLOCK_RATE = "training.phases[0].learning_rate", "training.phases[1].learning_rate"
PENALTY = "training.head.l2"
HEAD = {"name": "head", "unfreeze": "none", "epochs": 30, "learning_rate": 3e-3, "early_stopping": {"patience": 8}}
BLOCK = {"name": "last_block", "unfreeze": {"last_blocks": 1}, "epochs": 20, "learning_rate": 1e-5}
# The recipe of the flowers, whose second phase trains the last block.
TRAINING = {"head": {"units": [], "dropout": 0, "l2": 0.03}, "phases": [HEAD, BLOCK]}
SPACE = {
    HEAD_RATE: {"min": 3e-4, "max": 3e-2, "log": True},
    PENALTY: {"min": 1e-3, "max": 0.3, "log": True},
    "training.label_smoothing": [0.0, 0.1],
    "training.batch_size": [16, 32, 64],
}
BLOCKS = {
    "training": TRAINING,
    "space": {**SPACE, BLOCK_RATE: {"min": 1e-6, "max": 1e-3, "log": True}},
    "trials": 12,
    "runs": 12,
    "most": 1 / 4,
}
SEARCHES: dict[str, dict[str, Any]] = {
    "head alone": {
        "training": {**TRAINING, "phases": [HEAD]},
        "space": SPACE,
        "trials": 200,
        "runs": 1,
        "most": 1.5,
    },
    "head and last block": BLOCKS,
    "head and last block, none stopped": {**BLOCKS, "early_stop": "none"},
}
WITH_IMPORTS = "processor, with imports"
# Runs of the Trainer that a search is held against: with the values of the first so many trials.
COMPARED = 2


class Bench:
    """Runs searches and trainings in this process, each once."""

    def __init__(self, folder: Path):
        self._folder = folder
        self._file = folder / "done.json"
        self.done: dict[str, Any] = json.loads(self._file.read_text()) if self._file.is_file() else {}
        transformed(folder)
        self._files = subset(folder, TRAIN, VAL, held_out=True)

    def once(self, name: str, work: Any) -> Any:
        """Does work that has not been done, and keeps what it returns."""
        if name not in self.done:
            self.done[name] = work()
            write_text(self._file, json.dumps(self.done))
            print(name, json.dumps(self.done[name])[:200], flush=True)
        return self.done[name]

    def search(self, which: str, seed: int, frozen: str) -> dict[str, Any]:
        """Searches; returns what it took, its trials, and the best values as Keras Tuner has them."""
        from trainer_module.tuning.recipe import tuner_fn

        wanted = SEARCHES[which]
        tuning = {name: wanted[name] for name in ("space", "trials", "early_stop") if name in wanted} | {"seed": seed}
        arguments = self._arguments({**wanted["training"], "seed": seed}, frozen, {"tuning": tuning})
        (found, best), took = _timed(lambda: tuner_fn(arguments))
        shutil.rmtree(self._folder / "run", ignore_errors=True)
        return {**took, "tuning": found.plain(), "best": best}

    def trained(self, which: str, seed: int, best: dict[str, Any] | None = None) -> dict[str, Any]:
        """Returns what `train` does, of searches of the same recipe once."""
        recipe, values = SEARCHES[which]["training"], (best or {}).get("values", {})
        name = json.dumps(["trained", recipe, seed, values], sort_keys=True)
        return self.once(name, lambda: self.train(which, seed, f"{len(recipe['phases'])} phases, runs", best))

    def train(self, which: str, seed: int, frozen: str, best: dict[str, Any] | None = None) -> dict[str, Any]:
        """Runs the Trainer; returns what it took, and the accuracy on the test split."""
        from trainer_module.recipe import run_fn

        arguments = self._arguments({**SEARCHES[which]["training"], "seed": seed}, frozen, {})
        arguments.hyperparameters = best
        _, took = _timed(lambda: run_fn(arguments))
        accuracy = _accuracy(arguments.serving_model_dir)
        shutil.rmtree(self._folder / "run")
        return {**took, "accuracy": accuracy}

    def _arguments(self, training: dict[str, Any], frozen: str, more: dict[str, Any]) -> Any:
        from tfx.components.trainer.fn_args_utils import FnArgs

        from finetune.config import (
            AugmentationConfig,
            BackboneConfig,
            DistributionConfig,
            TrackingConfig,
            TrainingConfig,
            TuningConfig,
        )

        weights = {
            "name": "MobileNetV2",
            "weights": str(weights_file()),
            "arguments": {"alpha": 0.35},
            "image_size": SIZE,
        }
        sections = {
            "training": TrainingConfig.model_validate(training),
            "backbone": BackboneConfig.model_validate(weights),
            "augmentation": AugmentationConfig(),
            "distribution": DistributionConfig(),
            "tracking": TrackingConfig(tensorboard=False),
            "tuning": TuningConfig.model_validate(more.get("tuning", {})),
        }
        work = self._folder / "run"
        shutil.rmtree(work, ignore_errors=True)
        return FnArgs(
            train_files=self._files["train"],
            eval_files=self._files["val"],
            transform_graph_path=transformed(self._folder)["graph"],
            serving_model_dir=str(work / "model"),
            model_run_dir=str(work / "run"),
            custom_config={
                **{name: json.loads(section.model_dump_json()) for name, section in sections.items()},
                "task": "single_label",
                "evaluation": {},
                "component": "benchmark",
                "code": "benchmark",
                "checkpoint_dir": str(work / "checkpoints"),
                "frozen_features_dir": str(self._folder / "frozen" / frozen),
                "tracking_dir": str(work / "tensorboard"),
                "mlflow_dir": str(work / "mlflow"),
            },
        )


def _timed(work: Any) -> tuple[Any, dict[str, float]]:
    start, processor = time.monotonic(), time.process_time()
    found = work()
    return found, {
        "seconds": round(time.monotonic() - start, 2),
        "processor_seconds": round(time.process_time() - processor, 2),
    }


def _accuracy(model: str) -> float:
    import tensorflow as tf

    served = tf.saved_model.load(model).signatures["serving_default"]
    right, paths = 0, pictures("val")
    for first in range(0, len(paths), 50):
        chunk = paths[first : first + 50]
        labels = served(examples=tf.constant([path.read_bytes() for path in chunk]))["label"].numpy()
        right += sum(label.decode() == path.parent.name for label, path in zip(labels, chunk, strict=True))
    return right / len(paths)


def _as_hyperparameters(values: dict[str, Any]) -> dict[str, Any]:
    """Returns the values of a trial as the Tuner hands them on."""
    return {"values": {key: json.dumps(value) if isinstance(value, str) else value for key, value in values.items()}}


def measure(folder: Path, seeds: int) -> Iterator[dict[str, Any]]:
    """Runs all that is not done, what searches cost before what they gain; yields all that is done after each step."""
    bench = Bench(folder)
    # What TensorFlow does once in a process belongs to no run.
    bench.train("head alone", 0, "warm-up")
    yield bench.done
    modules = {"search": "trainer_module.tuning.recipe", "run": "trainer_module.recipe"}
    bench.once("imports", lambda: {of: measured(f"import finetune, {name}", 3)[0] for of, name in modules.items()})
    for which in SEARCHES:
        search = bench.once(f"{which}, search 1", lambda which=which: bench.search(which, 1, f"{which}, search"))
        yield bench.done
        for trial in search["tuning"]["trials"][:COMPARED]:
            values = _as_hyperparameters(trial["values"])
            bench.once(
                f"{which}, run {trial['number']}",
                lambda which=which, values=values: bench.trained(which, 1, values),
            )
            yield bench.done
    for seed, which in itertools.product(range(1, seeds + 1), SEARCHES):
        search = bench.once(
            f"{which}, search {seed}", lambda which=which, seed=seed: bench.search(which, seed, f"{which}, search")
        )
        for name, tried in (("default", None), ("best", search["best"])):
            bench.once(
                f"{which}, {name} {seed}",
                lambda which=which, seed=seed, tried=tried: bench.trained(which, seed, tried),
            )
        yield bench.done


def figures_of(done: dict[str, Any]) -> dict[str, Any]:
    """Puts together what is done of each search: the search, runs of the Trainer beside it, and what seeds gained."""
    figures = {}
    for which in SEARCHES:
        runs = [run for name, run in done.items() if name.startswith(f"{which}, run ")]
        seeds = [int(name.split()[-1]) for name in done if name.startswith(f"{which}, best ")]
        if runs:
            quality = [_quality(done, which, seed) for seed in seeds]
            figures[which] = {"search": done[f"{which}, search 1"], "runs": runs, "quality": quality}
            figures[which]["imports"] = done["imports"]
    return figures


def _quality(done: dict[str, Any], which: str, seed: int) -> dict[str, Any]:
    tuning = done[f"{which}, search {seed}"]["tuning"]
    best_trial = next(trial for trial in tuning["trials"] if trial["number"] == tuning["best"])
    return {
        "seed": seed,
        "default": done[f"{which}, default {seed}"]["accuracy"],
        "best": done[f"{which}, best {seed}"]["accuracy"],
        "val_loss_default": tuning["trials"][0]["score"],
        "val_loss_best": best_trial["score"],
        "nested": tuning["nested"],
        "values": best_trial["values"],
    }


def page(figures: dict[str, Any]) -> str:
    """Returns the figures as Markdown."""
    costs, gains = [], []
    for which in [name for name in SEARCHES if name in figures]:
        found, wanted = figures[which], SEARCHES[which]
        search, runs = found["search"], found["runs"]
        units = ("processor_seconds", "processor"), ("processor_seconds", WITH_IMPORTS), ("seconds", "wall")
        for key, unit in units:
            more = found["imports"] if unit == WITH_IMPORTS else {"search": 0.0, "run": 0.0}
            whole, one = search[key] + more["search"], mean(run[key] for run in runs) + more["run"]
            times = whole / (wanted["runs"] * one)
            stopped = sum(trial.get("state") == "stopped" for trial in search["tuning"]["trials"])
            costs.append([which, wanted["trials"], stopped, unit, f"{whole:.1f}", f"{one:.1f} ({len(runs)})"])
            costs[-1] += [f"{times:.2f}", f"{wanted['most']:g} of {wanted['runs']}"]
        if quality := found["quality"]:
            difference = [100 * (each["best"] - each["default"]) for each in quality]
            columns = ("default", "best", "val_loss_default", "val_loss_best", "nested")
            default, best, *losses = (spread(each[name] for each in quality) for name in columns)
            change = f"{median(difference):+.1f} ({min(difference):+.1f} to {max(difference):+.1f}) points"
            gains.append([which, len(quality), default, best, change, *losses])
    head = [
        "search", "trials", "ended early", "seconds of", "search", "a run of the Trainer", "search in runs",
        "wanted, at most",
    ]  # fmt: skip
    of_gains = [
        "search", "seeds", "test accuracy, default", "test accuracy, retrained best", "best - default",
        "val loss, default", "val loss, best trial", "nested estimate",
    ]  # fmt: skip
    text = (
        f"# A search beside runs of the Trainer\n\n`make bench-tuning`, {figures['machine']}.\n\n"
        f"Flowers, MobileNetV2 0.35 at {SIZE} pixels; {TRAIN - VAL} pictures to train on, {VAL} to validate. Random "
        "search. A run of the Trainer is the mean of several, how many stands behind it, with the values of the first "
        "trials; both sides begin without frozen features, and the runs share theirs as the trials do. `search in "
        "runs` is the search as a share of so many runs as stand behind it. All ran in one process; "
        f"`{WITH_IMPORTS}` adds what a process takes to import the code, which each run of a user is. `none stopped` "
        "is the same search with `early_stop: none`; where both find the same values best, the run with these stands "
        f"for both.\n\n{table(head, costs)}"
    )
    if gains:
        text += (
            "\n\nOn the 150 test pictures, median (least - largest), each seed with a search of its own:\n\n"
            f"{table(of_gains, gains)}"
        )
    return text


def main() -> None:
    """Measures what is left to measure, and writes the results as they come."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--folder", type=Path, default=FOLDER)
    arguments = parser.parse_args()
    folder = arguments.folder.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    where = machine()
    for done in measure(folder, arguments.seeds):
        figures = figures_of(done)
        if figures:
            figures = {"machine": where, **figures}
            save("tuning", page(figures), figures)


if __name__ == "__main__":
    import finetune  # noqa: F401  (chooses Keras 2)

    main()
