"""What goes out of `training.strategy: auto`: the last fit alone, or the mean of its weights and of those that judged.

    make bench-mean-weights    (python -m benchmarks.mean_weights [--recipe NAME] [--folder FOLDER])

A quarter of train/ of the flowers is held out, four times. On the rest the search's own trials train each recipe with
validation and four parts of train held out in their turn, and its last fit trains it on all of that rest; the quarter
judges their weights and means of these, at the temperature that the trials' held-out logits ask for. Nothing is said of
val/, which other benchmarks test on. Runs that are in the results already are not run again: it goes on after a kill.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

import finetune  # noqa: F401  (chooses Keras 2)
from benchmarks.flowers import linked, mobilenet_v2
from benchmarks.quality import cut
from benchmarks.tables import earlier, is_done, machine, save, table
from benchmarks.training import Data, apart
from evaluation.folds import folds_of, kinds_of

FOLDER = Path("runs/benchmarks/mean_weights")
FOLDS = 4
RECIPES = ("top_blocks", "all_layers_briefly", "all_layers")
# Of what is left of train/, one part is the validation split.
PARTS = 8
LAST_FIT = "the last fit"
SIDES = (LAST_FIT, "the last fit and validation's", "the parts'", "the last fit and the parts'")


def of_fold(folder: str, data: Data, fold: int, recipes: list[str]) -> list[dict[str, Any]]:
    """Trains recipes on what a fold leaves, and judges on the fold what could go out of each."""
    import tensorflow_transform as tft

    from finetune.config import AugmentationConfig, BackboneConfig, DistributionConfig, TrainingConfig
    from trainer_module.calibration import fit_temperature
    from trainer_module.examples.input_data import both, labels, of_rows
    from trainer_module.fitted_head import LastLayer
    from trainer_module.phases.checkpoint import Checkpoints
    from trainer_module.phases.setup import Setup
    from trainer_module.recipe import make_setup
    from trainer_module.search.candidates import candidates_for, mean_shares
    from trainer_module.search.kept_weights import KeptWeights
    from trainer_module.search.parts import Part, parts_of_train
    from trainer_module.search.trials import Trials
    from trainer_module.trained import Trained, refit

    sections = {
        "training": TrainingConfig.model_validate({"strategy": "auto"}),
        "backbone": BackboneConfig.model_validate(mobilenet_v2()),
        "augmentation": AugmentationConfig(horizontal_flip=True),
        "distribution": DistributionConfig(),
    }
    settings = {
        **{name: section.model_dump(mode="json") for name, section in sections.items()},
        "task": "single_label",
        "component": "Trainer",
        "code": "benchmark",
        "frozen_features_dir": f"{folder}/frozen_features",
    }
    setup = make_setup(settings, tft.TFTransformOutput(data.graph), data.files["train"], data.files["val"])
    pictures = both(setup.train, setup.val)
    of_pictures = labels(pictures).numpy()
    is_of_fold = folds_of(kinds_of(of_pictures), pictures.groups, FOLDS, seed=7) == fold
    left = np.flatnonzero(~is_of_fold)
    is_val = np.zeros(pictures.examples, bool)
    is_val[left[folds_of(kinds_of(of_pictures[left]), (), PARTS, seed=3) == 0]] = True
    judge = of_rows(pictures, is_of_fold)
    train, val = of_rows(pictures, ~is_of_fold & ~is_val), of_rows(pictures, is_val)
    setup = setup.with_training(setup.training, train=train, val=val)
    last_layer = LastLayer(setup)
    last_layer.fit(train)

    targets_of_fold = setup.task.targets(labels(judge).numpy(), len(setup.classes))

    with TemporaryDirectory() as place:

        def opened(of: Setup, name: str = LAST_FIT) -> Checkpoints:
            return Checkpoints(f"{place}/{name}", name, of.training.checkpoint, "Trainer")

        trials = Trials(setup, last_layer, opened)
        kept = KeptWeights(Path(place), setup.model, trials.start)
        parts = [Part(0, train, val), *parts_of_train(train, val, setup.training.seed)]
        found = []
        for candidate in candidates_for(setup.kind, setup.training, setup.augmentation):
            if candidate.name not in recipes:
                continue
            names, rows, logits, of_each = [part.name_of(candidate.name) for part in parts], [], [], []
            for part, name in zip(parts, names, strict=True):
                done, (of_part, *_) = trials.run(candidate, part)
                kept.keep(name)
                rows.append(done.rows)
                logits.append(of_part)
                of_each.append(labels(part.held_out).numpy())
            targets = setup.task.targets(np.concatenate(of_each), len(setup.classes))
            temperature = fit_temperature(setup.task, targets, np.concatenate(logits))
            trials.begin(parts[0])
            of_candidate = trials.setup_of(candidate, parts[0])
            refit(of_candidate, Trained(rows[0], [], 1, None), last_layer, opened, mean_shares(*rows))
            kept.keep(LAST_FIT)
            opened(of_candidate).clear()
            of_side = dict(zip(SIDES, ([LAST_FIT], [LAST_FIT, names[0]], names, [LAST_FIT, *names]), strict=True))
            for side, (first, *others) in of_side.items():
                kept.bring(first)
                kept.average_with(others)
                on_fold = setup.task.of_logits(targets_of_fold, last_layer.logits(judge) / temperature)
                losses = [round(float(each), 5) for each in on_fold.losses]
                facts = {"recipe": candidate.name, "fold": fold, "side": side}
                found.append({**facts, "accuracy": float(on_fold.hits.mean()), "losses": losses})
    return found


def run(folder: Path, recipes: list[str], runs: list[dict], keep: Callable[[], None]) -> None:
    """Holds out each quarter in turn."""
    missing = {fold: [each for each in recipes if not is_done(runs, recipe=each, fold=fold)] for fold in range(FOLDS)}
    if not any(missing.values()):
        return
    split = {"root": str(linked(folder / "pictures")), "splits": {"train": "train", "val": 0.15, "test": "val"}}
    data = cut(folder, {"data": split, "backbone": mobilenet_v2()})
    for fold, names in missing.items():
        if names:
            runs.extend(apart(of_fold, str(folder), data, fold, names))
            keep()


def page(figures: dict[str, Any]) -> str:
    """The results as Markdown."""
    rows, of = [], {(each["recipe"], each["side"], each["fold"]): each for each in figures["runs"]}
    for recipe in RECIPES:
        for side in SIDES:
            folds = [fold for fold in range(FOLDS) if (recipe, side, fold) in of]
            if not folds:
                continue
            losses, of_last_fit = (
                np.concatenate([of[recipe, each, fold]["losses"] for fold in folds]) for each in (side, LAST_FIT)
            )
            gains, accuracy = of_last_fit - losses, np.mean([of[recipe, side, fold]["accuracy"] for fold in folds])
            gain = f"{gains.mean():+.4f} ± {gains.std(ddof=1) / np.sqrt(len(gains)):.4f}" if side != LAST_FIT else ""
            rows.append((recipe, side, len(gains), f"{losses.mean():.4f}", f"{accuracy:.4f}", gain))
    head = ("recipe", "weights", "pictures that judge", "log-loss", "accuracy", "lower than the last fit by")
    return (
        "# What goes out of `auto`: the last fit, or a mean of weights\n\nFlowers, MobileNetV2 0.35; a quarter of "
        f"train/ judges, {FOLDS} times. {figures['machine']}.\n\n{table(head, rows)}\n\n`make bench-mean-weights` "
        "makes this page."
    )


def main() -> None:
    """Measures what is not there yet, and writes table and raw figures."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--recipe", choices=RECIPES, action="append")
    arguments.add_argument("--folder", type=Path, default=FOLDER)
    given = arguments.parse_args()
    figures: dict[str, Any] = earlier("mean_weights", {"runs": []})
    figures["machine"] = machine()
    run(
        given.folder.absolute(),
        given.recipe or list(RECIPES),
        figures["runs"],
        lambda: save("mean_weights", page(figures), figures),
    )


if __name__ == "__main__":
    main()
