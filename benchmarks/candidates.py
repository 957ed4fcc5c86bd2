"""What the candidates of `training.strategy: auto` for pictures were chosen by: what they give on parts of train/.

    make bench-candidates    (python -m benchmarks.candidates [--backbone NAME] [--recipe NAME] [--folder FOLDER])

A fifth of train/ of the flowers is held out, as many times as PARTS says, and each recipe trains on the rest from the
fitted head. The log-loss is at the temperature at which the model would be served; nothing is said of val/, which
other benchmarks test on. Runs that are in the results already are not run again: it goes on after a kill.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from statistics import mean
from typing import Any

import finetune  # noqa: F401  (chooses Keras 2)
from benchmarks.flowers import efficientnet_lite0, linked, mobilenet_v2
from benchmarks.quality import cut
from benchmarks.tables import earlier, is_done, machine, save, table
from benchmarks.training import run_trainer

FOLDER = Path("runs/benchmarks/candidates")
PARTS = 3
# The sections `backbone`.
BACKBONES = {"MobileNetV2 0.35": mobilenet_v2, "EfficientNet-Lite0": efficientnet_lite0}
# What a recipe is beside a candidate: changes of its phase, and of the training.
RECIPES: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    # Judged on what is held out like the others, where the phase goes all the way back.
    "probe": ("top_blocks", {"interpolation": 0.0}, {}),
    "top_blocks": ("top_blocks", {}, {}),
    "top_blocks, smoothed": ("top_blocks", {}, {"label_smoothing": 0.1}),
    "top_blocks, at 1e-4": ("top_blocks", {"learning_rate": 1e-4}, {}),
    "all_layers_briefly": ("all_layers_briefly", {}, {}),
    "all_layers_briefly, at 1e-4": ("all_layers_briefly", {"learning_rate": 1e-4}, {}),
    "all_layers": ("all_layers", {}, {}),
    "all_layers, smoothed": ("all_layers", {}, {"label_smoothing": 0.1}),
    "all_layers, at 1e-4": ("all_layers", {"learning_rate": 1e-4}, {}),
    "all_layers, at 1e-4, smoothed": ("all_layers", {"learning_rate": 1e-4}, {"label_smoothing": 0.1}),
    "all_layers, 20 epochs": ("all_layers", {"epochs": 20}, {}),
}


def training_of(recipe: str) -> dict[str, Any]:
    """Returns the section `training` of an entry of RECIPES."""
    from trainer_module.search.candidates import PICTURES

    name, of_phase, changes = RECIPES[recipe]
    phases = [phase for each in PICTURES if each.name == name for phase in each.phases]
    return {
        "head": {"start": "fitted"},
        "calibration": "temperature",
        "phases": [{**phase.model_dump(mode="json", exclude_unset=True), **of_phase} for phase in phases],
        **changes,
    }


def run(folder: Path, backbones: list[str], recipes: list[str], runs: list[dict], keep: Callable[[], None]) -> None:
    """Trains by each recipe on each part, one part of all recipes after the other."""
    for name in backbones:
        for part in range(1, PARTS + 1):
            missing = [each for each in recipes if not is_done(runs, backbone=name, part=part, recipe=each)]
            if not missing:
                continue
            splits = {"train": "train", "val": 0.2, "test": "val"}
            data = {"root": str(linked(folder / "pictures")), "splits": splits, "split_salt": f"part {part}"}
            backbone = BACKBONES[name]()
            examples = cut(folder, {"data": data, "backbone": backbone})
            for recipe in missing:
                changes = {"horizontal_flip": True}
                found = run_trainer(folder, training_of(recipe), augmentation=changes, backbone=backbone, data=examples)
                (phase,) = found["phases"]
                loss, share = found["calibration"]["loss_after"], phase["interpolation"]
                facts = {"backbone": name, "part": part, "recipe": recipe}
                figures = {"loss": loss, "accuracy": phase["val_accuracy"], "interpolation": share}
                runs.append({**facts, **figures, "seconds": found["seconds"]})
                print(*runs[-1].values(), flush=True)
                keep()


def page(figures: dict[str, Any]) -> str:
    """The results as Markdown."""
    parts = [
        "# What the candidates of `auto` were chosen by\n\nFlowers, four fifths of train/ to train on, the others held "
        f"out, {PARTS} times; log-loss of these at the temperature at which the model would be served, their accuracy, "
        f"and how far the phase went on the line from its start to its end. {figures['machine']}."
    ]
    for name in dict.fromkeys(each["backbone"] for each in figures["runs"]):
        rows = []
        for recipe in RECIPES:
            found = [each for each in figures["runs"] if (each["backbone"], each["recipe"]) == (name, recipe)]
            if not found:
                continue
            cells = [f"{each['loss']:.3f}" for each in found] + ["-"] * (PARTS - len(found))
            shares = ", ".join(f"{each['interpolation']:g}" for each in found)
            loss, accuracy, seconds = (mean(each[key] for each in found) for key in ("loss", "accuracy", "seconds"))
            rows.append((recipe, *cells, f"{loss:.3f}", f"{accuracy:.3f}", shares, f"{seconds:.0f}"))
        losses = [f"loss, part {part}" for part in range(1, PARTS + 1)]
        head = (name, *losses, "mean loss", "mean accuracy", "share of the way", "seconds, mean")
        parts.append(table(head, rows))
    parts.append("`make bench-candidates` makes this page.")
    return "\n\n".join(parts)


def main() -> None:
    """Measures what is not there yet, and writes table and raw figures."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--backbone", choices=list(BACKBONES), action="append")
    arguments.add_argument("--recipe", choices=list(RECIPES), action="append")
    arguments.add_argument("--folder", type=Path, default=FOLDER)
    given = arguments.parse_args()
    figures: dict[str, Any] = earlier("candidates", {"runs": []})
    figures["machine"] = machine()

    def keep() -> None:
        save("candidates", page(figures), figures)

    run(
        given.folder.absolute(), given.backbone or list(BACKBONES), given.recipe or list(RECIPES), figures["runs"], keep
    )


if __name__ == "__main__":
    main()
