"""LoRA beside full fine-tuning by the same recipe: accuracy, parameters that train, peak memory, processor time.

    make bench-peft        (python -m benchmarks.peft [--seeds N] [--folder FOLDER])

EfficientNet-Lite0 on five kinds of flowers: 510 pictures of train/ to train on, 90 others to choose by, 150 of val/ to
test on. Both sides begin with a fitted head and train for the same epochs with the same optimizer, schedule and
augmentation; each at every rate of RATES, of which the one with the lowest mean validation loss counts. Frozen features
are computed anew in each run. What is done stands in the results after each run, so that a killed benchmark goes on.
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path
from statistics import mean, median
from typing import Any

from benchmarks.flowers import SIZE, real_data
from benchmarks.tables import RESULTS, machine, save, spread, table
from benchmarks.training import run_trainer

FOLDER = Path("runs/benchmarks/peft")
SIDES: dict[str, str | None] = {"lora": "lora", "full": None}
RATES = (3e-4, 1e-3, 1e-4)


def training_of(peft: str | None, rate: float, seed: int) -> dict[str, Any]:
    """Returns the recipe, the same on both sides but for `peft`."""
    phase = {
        "name": "tune",
        "unfreeze": "all",
        "epochs": 5,
        "learning_rate": rate,
        "optimizer": "adamw",
        "schedule": {"name": "cosine", "warmup_epochs": 0.5},
        "early_stopping": None,
        "keep": "last",
        "interpolation": "validation",
        "augmentation": {"horizontal_flip": True, "random_resized_crop": 0.8, "views": 2},
    }
    head = {"start": "fitted"}
    return {"seed": seed, "head": head, "label_smoothing": 0.1, "peft": peft, "phases": [phase]}


def run(folder: Path, side: str, rate: float, seed: int) -> dict[str, Any]:
    """Trains once, from nothing kept."""
    shutil.rmtree(folder / "frozen_features", ignore_errors=True)
    weights = real_data() / "weights" / "efficientnet_lite0.h5"
    backbone = {"file": str(weights), "image_size": SIZE, "scaling": "minus_one_to_one"}
    training = training_of(SIDES[side], rate, seed)
    found = run_trainer(folder, training, train=600, val=90, held_out=True, backbone=backbone)
    return {"side": side, "rate": rate, "seed": seed, **found}


def at_best_rate(runs: list[dict[str, Any]], side: str) -> list[dict[str, Any]]:
    """Returns the runs of a side at the rate with the lowest mean validation loss."""
    by_rate: dict[float, list[dict[str, Any]]] = {}
    for each in runs:
        if each["side"] == side:
            by_rate.setdefault(each["rate"], []).append(each)
    return min(by_rate.values(), key=lambda found: mean(each["phases"][-1]["val_loss"] for each in found))


def page(described: str, runs: list[dict[str, Any]]) -> str:
    """Returns the results as Markdown."""
    best = {side: at_best_rate(runs, side) for side in SIDES}
    rows = [_row(side, found) for side, found in best.items()]
    head = (
        "side", "rate", "accuracy on val/, median (range)", "parameters that train, of the backbone's and the head's",
        "cut", "peak memory, MB", "processor seconds",
    )  # fmt: skip
    behind = 100 * (median(_accuracies(best["full"])) - median(_accuracies(best["lora"])))
    seconds = [median(each["processor_seconds"] for each in best[side]) for side in ("lora", "full")]
    every = [
        (side, f"{rate:g}", spread(_accuracies(found)), f"{mean(each['phases'][-1]['val_loss'] for each in found):.4f}")
        for side in SIDES
        for rate in sorted(RATES)
        if (found := [each for each in runs if each["side"] == side and each["rate"] == rate])
    ]
    return (
        f"# LoRA beside full fine-tuning\n\n{described}.\n\nEfficientNet-Lite0 at 224 pixels, 510 pictures of flowers "
        f"to train on, 90 to choose by, 150 to test on, 5 epochs, {len(best['lora'])} seeds, each side at the rate "
        f"with the lowest mean validation loss of {', '.join(f'{rate:g}' for rate in sorted(RATES))}.\n\n"
        f"{table(head, rows)}\n\n"
        f"LoRA's median is {abs(behind):.1f} points {'below' if behind > 0 else 'above'} that of full fine-tuning, for "
        f"{seconds[0] / seconds[1]:.0%} of its processor time. One picture of val/ is 0.7 points. Memory is that of "
        "the whole process, TensorFlow included.\n\nAt every rate:\n\n"
        f"{table(('side', 'rate', 'accuracy on val/, median (range)', 'mean validation loss'), every)}\n\n"
        "`make bench-peft` makes this page."
    )


def _row(side: str, found: list[dict[str, Any]]) -> tuple[str, ...]:
    phase = found[0]["phases"][-1]
    return (
        side,
        f"{found[0]['rate']:g}",
        spread(_accuracies(found)),
        f"{phase['trainable_parameters']:,} of {phase['total_parameters']:,}",
        (phase["frozen_features"]["cut"] if phase["cached_trunk"] else None) or "none",
        spread((each["peak_mb"] for each in found), 0),
        spread((each["processor_seconds"] for each in found), 0),
    )


def _accuracies(found: list[dict[str, Any]]) -> list[float]:
    return [each["accuracy"] for each in found]


def main() -> None:
    """Runs what is not done yet, the rates of one seed after the other."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--seeds", type=int, default=3)
    arguments.add_argument("--folder", type=Path, default=FOLDER)
    given = arguments.parse_args()
    folder = given.folder.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    kept = RESULTS / "peft.json"
    before = json.loads(kept.read_text()) if kept.is_file() else {"machine": machine(), "runs": []}
    described, runs = before["machine"], before["runs"]
    done = {(each["side"], each["rate"], each["seed"]) for each in runs}
    for seed in range(1, given.seeds + 1):
        for rate in RATES:
            for side in SIDES:
                if (side, rate, seed) in done:
                    continue
                runs.append(run(folder, side, rate, seed))
                shown = {key: runs[-1][key] for key in ("side", "rate", "seed", "accuracy", "processor_seconds")}
                print(json.dumps(shown), flush=True)
                if {each["side"] for each in runs} == set(SIDES):
                    save("peft", page(described, runs), {"machine": described, "runs": runs})


if __name__ == "__main__":
    main()
