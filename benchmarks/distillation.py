"""What a small network gains from a large one that teaches it: MobileNet 0.25@128, taught by EfficientNet-Lite0.

    make bench-distillation          (python -m benchmarks.distillation [--part choose|test] ... [--folder FOLDER])

Part `choose` trains teachers and pupils on three quarters of train/ and judges the pupils by the rest, with several
teachers, temperatures, weights and numbers of epochs, and without a teacher. Part `test` trains with what had the
lowest log-loss there, five seeds with the teacher and five without, and five as long without, on all of train/ but a
tenth, and tests on val/; one goes through the whole pipeline, whose ServingGate times and weighs both. A teacher learns
from the pictures that its pupils learn from, and from no others. Runs that are in the results already are not run
again: it goes on after a kill.
"""

from __future__ import annotations

import argparse
import os
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import finetune  # noqa: F401  (chooses Keras 2)
from benchmarks.flowers import efficientnet_lite0, linked, pictures, real_data
from benchmarks.pipeline_runs import run_pipeline
from benchmarks.tables import earlier, machine, save, spread, table
from evaluation.data_checks import CHECKS
from finetune.config import Config

FOLDER = Path("runs/benchmarks/distillation")
PARTS = ("choose", "test")
SEEDS, FOLDS = 5, 2
NAME, TAUGHT, ALONE, AS_LONG = "distillation", "taught", "alone", "alone, as long"
# Every model passes: what is measured here is not what goes out.
GATES = [{"metric": "accuracy", "min": 0.0}]
CHANGES = {"horizontal_flip": True, "random_resized_crop": 0.5}
FITTED, TUNED = "a fitted head", "two blocks tuned on smoothed labels"
# Teacher, temperature, weight and epochs; those without a teacher have none of the first three.
Recipe = tuple[str | None, float | None, float | None, int]
GRID: tuple[Recipe, ...] = (
    (None, None, None, 30),
    (None, None, None, 60),
    (FITTED, 5.0, 0.9, 30),
    (FITTED, 2.0, 0.9, 30),
    (TUNED, 5.0, 0.9, 30),
    (TUNED, 5.0, 0.9, 60),
)


def phase(name: str, epochs: int, unfreeze: Any, rate: float, augmentation: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a phase that runs its whole cosine and keeps what it ends with."""
    return {
        "name": name,
        "unfreeze": unfreeze,
        "epochs": epochs,
        "learning_rate": rate,
        "optimizer": "adamw",
        "schedule": {"name": "cosine", "warmup_epochs": 1},
        "early_stopping": None,
        "keep": "last",
        "augmentation": dict(augmentation),
        "regularizers": {"dropout": 0.0},
    }


def flowers(folder: Path, held_out: float, salt: str = "") -> dict[str, Any]:
    """Returns the sections of the flowers: a part of train/ is held out, and val/ is what is tested on."""
    splits = {"train": "train", "val": held_out, "test": "val"}
    data = {"root": str(linked(folder / "pictures")), "splits": splits, "split_salt": salt}
    return {
        "data": {**data, "checks": dict.fromkeys(CHECKS, "off")},
        "evaluation": {"gates": GATES, "baselines": ["majority"]},
    }


def teacher_config(folder: Path, kind: str, **data: Any) -> dict[str, Any]:
    """Returns the config of a teacher.

    Args:
        folder: Of the benchmark.
        kind: FITTED or TUNED.
        **data: What is held out of train/, as of `flowers`.
    """
    tuned = [phase("top_blocks", 10, {"last_blocks": 2}, 3e-4, {**CHANGES, "views": 4})]
    return {
        "name": f"{NAME}_teacher",
        **flowers(folder, **data),
        "backbone": efficientnet_lite0(),
        "training": {
            "head": {"start": "fitted"},
            "label_smoothing": 0.1 if kind == TUNED else 0.0,
            "phases": [] if kind == FITTED else tuned,
        },
    }


def pupil_config(folder: Path, chosen: Recipe, **data: Any) -> dict:
    """Returns the config of a pupil with its teacher, who is trained first, or of the same network without one.

    Args:
        folder: Of the benchmark.
        chosen: As in GRID.
        **data: What is held out of train/, as of `flowers`.
    """
    teacher, temperature, weight, epochs = chosen
    taught: dict[str, Any] = {"temperature": temperature, "weight": weight}
    if teacher:
        taught["teacher"] = taught_by(folder, teacher, **data)
    weights = real_data() / "weights" / "mobilenet_v1_0.25_128_no_top.h5"
    return {
        "name": f"{NAME}_pupil",
        **flowers(folder, **data),
        "backbone": {"name": "MobileNet", "arguments": {"alpha": 0.25}, "image_size": 128, "weights": str(weights)},
        "training": {
            "head": {"start": "fitted"},
            **({"distillation": taught} if teacher else {"label_smoothing": 0.1}),
            "phases": [phase("all_layers", epochs, "all", 1e-3, CHANGES)],
        },
    }


def taught_by(folder: Path, kind: str, **data: Any) -> str:
    """Returns the folder of a teacher, which is trained where it is not there yet."""
    own = folder / "-".join(["teacher", kind, *map(str, data.values())]).replace(" ", "-")
    if not list(own.glob("run/pushed/*/saved_model.pb")):
        run_pipeline(own, teacher_config(folder, kind, **data), 1)
    return str(max(own.glob("run/pushed/*/saved_model.pb")).parent)


def prepared(folder: Path, config: dict[str, Any]) -> tuple[Config, dict[str, dict[str, str]]]:
    """Runs the nodes before the Trainer; returns the config and the URIs of what they left."""
    from pipeline.local import run_through

    whole = Config.model_validate({**config, "output_dir": str(folder / "run")})
    last = "Teacher" if whole.training.distillation else "Transform"

    def uris(outputs: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, str]]:
        return {node: {name: artifact.uri for name, artifact in found.items()} for node, found in outputs.items()}

    return whole, run_through(whole, last, NAME, uris, folder)


def train(folder: Path, config: dict[str, Any], seed: int) -> dict[str, Any]:
    """Trains as the pipeline's Trainer does, in this process, with all that is before it taken from the cache.

    Returns:
        `val_accuracy` and `val_loss` at the end, on what was held out of train/; `accuracy` of the exported model on
        val/; `processor_seconds` of the Trainer.
    """
    from tfx.components.trainer.fn_args_utils import FnArgs

    from finetune.artifacts.training_history import TrainingHistory
    from finetune.run_time import resolve
    from pipeline.dag import trainer_settings
    from pipeline.nodes import place_at
    from trainer_module.recipe import run_fn

    whole, outputs = prepared(folder, {**config, "training": {**config["training"], "seed": seed}})
    work = folder / f"train-{os.getpid()}"
    examples = outputs["Transform"]["transformed_examples"]
    settings = {
        **resolve(trainer_settings(whole), place_at(Path.cwd())),
        "component": NAME,
        "checkpoint_dir": str(work / "checkpoints"),
        "frozen_features_dir": str(folder / "frozen_features"),
        "tracking": {"tensorboard": False},
        "tracking_dir": str(work / "tensorboard"),
        "mlflow_dir": str(work / "mlflow"),
        "teacher": outputs["Teacher"]["answers"] if whole.training.distillation else None,
    }
    arguments = FnArgs(
        train_files=[f"{examples}/Split-train/*"],
        eval_files=[f"{examples}/Split-val/*"],
        transform_graph_path=outputs["Transform"]["transform_graph"],
        serving_model_dir=str(work / "model"),
        model_run_dir=str(work / "run"),
        custom_config=settings,
    )
    start = time.process_time()
    run_fn(arguments)
    seconds = time.process_time() - start
    last = TrainingHistory.read(work / "run").curves[-1]
    figures = {
        "val_accuracy": last.val_accuracy,
        "val_loss": last.val_loss,
        "accuracy": accuracy_on_val(work / "model"),
    }
    shutil.rmtree(work)
    return {**figures, "processor_seconds": round(seconds, 1)}


def accuracy_on_val(model: Path) -> float:
    """Returns the share of the pictures of val/ that an exported model has right."""
    import tensorflow as tf

    served = tf.saved_model.load(str(model)).signatures["serving_default"]
    paths, right = pictures("val"), 0
    for first in range(0, len(paths), 50):
        chunk = paths[first : first + 50]
        labels = served(examples=tf.constant([path.read_bytes() for path in chunk]))["label"].numpy()
        right += sum(label.decode() == path.parent.name for label, path in zip(labels, chunk, strict=True))
    return right / len(paths)


def run_choose(folder: Path, runs: list[dict], keep: Callable[[], None]) -> None:
    """Trains with each entry of GRID on each fold of train/; what is kept says nothing of val/."""
    for fold in range(1, FOLDS + 1):
        for chosen in GRID:
            if any((run["fold"], tuple(run["chosen"])) == (fold, chosen) for run in runs):
                continue
            config = pupil_config(folder, chosen, held_out=0.25, salt=f"fold {fold}")
            found = train(folder / f"fold-{fold}", config, seed=1)
            del found["accuracy"]
            runs.append({"fold": fold, "chosen": list(chosen), **found})
            keep()


def chosen_by(runs: list[dict]) -> dict[str, Recipe]:
    """Returns what is tested, by what it is.

    TAUGHT and ALONE are the entries of GRID with the lowest mean log-loss on what was held out, with a teacher and
    without; AS_LONG, where it differs from ALONE, trains without a teacher for the epochs of TAUGHT.
    """

    def loss(recipe: Recipe) -> float:
        found = [run["val_loss"] for run in runs if tuple(run["chosen"]) == recipe]
        return sum(found) / len(found)

    tried = [recipe for recipe in GRID if any(tuple(run["chosen"]) == recipe for run in runs)]
    with_teacher = {TAUGHT: True, ALONE: False}
    best = {
        side: min((each for each in tried if bool(each[0]) == is_so), key=loss) for side, is_so in with_teacher.items()
    }
    as_long: Recipe = (None, None, None, best[TAUGHT][3])
    return best if as_long == best[ALONE] else {**best, AS_LONG: as_long}


def run_test(folder: Path, figures: dict[str, Any], keep: Callable[[], None]) -> None:
    """Trains with what was chosen, each seed with the teacher and without; one goes through the whole pipeline."""
    runs, best = figures.setdefault("test", []), chosen_by(figures["choose"])
    for seed in range(1, SEEDS + 1):
        for chosen in best.values():
            if any((tuple(run["chosen"]), run["seed"]) == (chosen, seed) for run in runs):
                continue
            config = pupil_config(folder, chosen, held_out=0.1)
            runs.append({"chosen": list(chosen), "seed": seed, **train(folder / "test", config, seed)})
            keep()
    if figures.get("serving", {}).get("chosen") != list(best[TAUGHT]):
        config = pupil_config(folder, best[TAUGHT], held_out=0.1)
        config["evaluation"]["baselines"] = ["majority", "teacher"]
        found = run_pipeline(folder / "pipeline", config, 1)
        figures["serving"] = {
            "chosen": list(best[TAUGHT]),
            "accuracy": {"pupil": found["metrics"]["accuracy"], "teacher": found["baselines"]["teacher"]["accuracy"]},
            "pupil": found["serving"]["metrics"],
            "teacher": found["serving"]["teacher_metrics"],
        }
        keep()


def page(figures: dict[str, Any]) -> str:
    """The results as Markdown."""
    parts = [f"# A small network and its teacher\n\n{figures['machine']}."]
    if figures.get("test"):
        of: dict[Recipe, list[dict]] = {}
        for run in figures["test"]:
            of.setdefault(tuple(run["chosen"]), []).append(run)
        rows: list[Sequence[Any]] = [
            (
                f"{_words(chosen)}, {len(found)} seeds",
                spread(run["accuracy"] for run in found),
                f"{median(run['processor_seconds'] for run in found):.0f}",
            )
            for chosen, found in of.items()
        ]
        head = ("MobileNet 0.25@128", "accuracy on val/, median (least - largest)", "processor seconds, median")
        parts.append(table(head, rows))
        medians = {chosen: median(run["accuracy"] for run in found) for chosen, found in of.items()}
        best = {side: medians[chosen] for side, chosen in chosen_by(figures["choose"]).items() if chosen in medians}
        for side, words in ((ALONE, "the best training without"), (AS_LONG, "a training as long without")):
            if TAUGHT in best and side in best:
                gain = f"{100 * (best[TAUGHT] - best[side]):+.1f} points"
                parts.append(f"The median of the best training with a teacher is {gain} from that of {words}.")
    if serving := figures.get("serving"):
        rows = [
            (
                name,
                f"{serving['accuracy'][name]:.3f}",
                f"{serving[name]['latency_p50_ms_batch1']:.1f}",
                f"{serving[name]['latency_p95_ms_batch1']:.1f}",
                f"{serving[name]['throughput_per_second_batch32']:.0f}",
                f"{serving[name]['size_mb']:.1f}",
            )
            for name in ("pupil", "teacher")
        ]
        served = ("one run of the pipeline", "accuracy", "p50, ms", "p95, ms", "examples a second, batches of 32", "MB")
        parts.append(f"Both served side by side, with requests in turn:\n\n{table(served, rows)}")
    if figures.get("choose"):
        parts.append(_of_choice(figures["choose"]))
    parts.append("`make bench-distillation` makes this page.")
    return "\n\n".join(parts)


def _of_choice(runs: list[dict]) -> str:
    """A table of what was tried on folds of train/."""
    rows = []
    for chosen in dict.fromkeys(tuple(run["chosen"]) for run in runs):
        found = [run for run in runs if tuple(run["chosen"]) == chosen]
        means = [sum(run[name] for run in found) / len(found) for name in ("val_accuracy", "val_loss")]
        rows.append((_words(chosen), len(found), *(f"{mean:.3f}" for mean in means)))
    head = ("on three quarters of train/", "folds", "accuracy on the rest, mean", "log-loss, mean")
    return f"What the best were chosen by; teachers learned from the same three quarters:\n\n{table(head, rows)}"


def _words(chosen: Recipe) -> str:
    teacher, temperature, weight, epochs = chosen
    if teacher is None:
        return f"without a teacher, {epochs} epochs"
    return f"taught by {teacher}, temperature {temperature:g}, weight {weight:g}, {epochs} epochs"


def main() -> None:
    """Measures what is asked for and is not there yet, and writes table and raw figures."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--part", choices=PARTS, action="append")
    arguments.add_argument("--folder", type=Path, default=FOLDER)
    given = arguments.parse_args()
    folder = given.folder.absolute()
    figures: dict[str, Any] = earlier(NAME, {})
    figures["machine"] = machine()

    def keep() -> None:
        save(NAME, page(figures), figures)

    parts = given.part or PARTS
    if "choose" in parts:
        run_choose(folder, figures.setdefault("choose", []), keep)
    if "test" in parts:
        run_test(folder, figures, keep)


if __name__ == "__main__":
    main()
