"""LoRA beside full fine-tuning by the same recipe: accuracy, parameters that train, peak memory, processor time.

    make bench-peft        (python -m benchmarks.peft [flowers|messages] [--seeds N] [--folder FOLDER])

EfficientNet-Lite0 on five kinds of flowers: 510 pictures of train/ to train on, 90 others to choose by, 150 of val/ to
test on. MiniLM on the SMS Spam Collection: 600 messages to train on, 200 to choose by, 500 to test on. Both sides
begin with a fitted head and train for the same epochs with the same optimizer, schedule and augmentation; each at every
rate of its part, and of the rates that all seeds are done with, the one with the lowest mean validation loss counts.
Frozen features are computed anew in each run. What is done stands in the results after each run, so that a killed
benchmark goes on.
"""

from __future__ import annotations

import argparse
import csv
import json
import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from statistics import mean, median
from typing import Any

from benchmarks.flowers import efficientnet_lite0, real_data, run_to_transform
from benchmarks.tables import earlier, is_done, machine, save, spread, table
from benchmarks.training import Data, apart, run_trainer

FOLDER = Path("runs/benchmarks/peft")
SIDES: dict[str, str | None] = {"lora": "lora", "full": None}


# Messages of each split.
SIZES = {"train": 600, "val": 200, "test": 500}


def training_of(peft: str | None, rate: float, seed: int, **phase: Any) -> dict[str, Any]:
    """Returns the recipe, the same on both sides but for `peft`."""
    tune = {
        "name": "tune",
        "unfreeze": "all",
        "learning_rate": rate,
        "optimizer": "adamw",
        "schedule": {"name": "cosine", "warmup_epochs": 0.5},
        "early_stopping": None,
        # Not the best: where the fitted head is as good already, neither side would have trained anything.
        "keep": "last",
        **phase,
    }
    return {"seed": seed, "head": {"start": "fitted"}, "peft": peft, "phases": [tune]}


def on_flowers(folder: Path, peft: str | None, rate: float, seed: int) -> dict[str, Any]:
    """Trains EfficientNet-Lite0 once."""
    changes = {"horizontal_flip": True, "random_resized_crop": 0.8, "views": 2}
    training = {**training_of(peft, rate, seed, epochs=3, augmentation=changes), "label_smoothing": 0.1}
    return run_trainer(folder, training, train=600, val=90, held_out=True, backbone=efficientnet_lite0())


def on_messages(folder: Path, peft: str | None, rate: float, seed: int) -> dict[str, Any]:
    """Trains MiniLM once."""
    return run_trainer(folder, training_of(peft, rate, seed, epochs=2), backbone=minilm(), data=messages(folder))


def minilm() -> dict[str, Any]:
    """Returns the section `backbone` of MiniLM."""
    return {"name": "BERT", "weights": str(real_data() / "weights" / "minilm"), "text": {"max_pieces": 128}}


def messages(folder: Path) -> Data:
    """Returns messages as Transform makes them, in a process of its own where they are not there yet."""
    result = folder / "messages.json"
    if not result.is_file():
        path = folder / "messages.csv"
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, ("text", "label", "split"))
            writer.writeheader()
            writer.writerows(_rows())
        data = {"root": str(path), "layout": "table", "split_column": "split"}
        raw = {"name": "messages", "output_dir": str(folder / "messages"), "data": data, "backbone": minilm()}
        result.write_text(json.dumps(apart(run_to_transform, raw), indent=1))
    found = json.loads(result.read_text())
    test = [(row["text"].encode(), row["label"]) for row in _rows() if row["split"] == "test"]
    return Data(found["graph"], {name: found[name] for name in ("train", "val")}, test)


def _rows() -> list[dict[str, str]]:
    """Returns messages that occur once, drawn at random, each with its split."""
    lines = (real_data() / "text" / "sms_spam.tsv").read_text(encoding="utf-8").splitlines()
    pairs = sorted({text: label for label, text in (line.split("\t", 1) for line in lines)}.items())
    random.Random(0).shuffle(pairs)
    splits = [name for name, count in SIZES.items() for _ in range(count)]
    return [{"text": text, "label": label, "split": split} for (text, label), split in zip(pairs, splits, strict=False)]


@dataclass(frozen=True)
class Part:
    """A part of the benchmark: a backbone on data."""

    name: str
    title: str
    run: Callable[[Path, str | None, float, int], dict[str, Any]]
    rates: tuple[float, ...]


PARTS = (
    Part(
        "flowers",
        "EfficientNet-Lite0 at 224 pixels, 510 flowers to train on, 90 to choose by, 150 to test on, 3 epochs",
        on_flowers,
        (3e-4, 1e-3, 1e-4),
    ),
    Part(
        "messages",
        "MiniLM on the SMS Spam Collection, 600 messages to train on, 200 to choose by, 500 to test on, 2 epochs",
        on_messages,
        (3e-4, 5e-5, 1e-3),
    ),
)


def at_best_rate(runs: list[dict[str, Any]], side: str) -> list[dict[str, Any]]:
    """Returns the runs of a side at the rate with the lowest mean validation loss, of those with the most seeds."""
    by_rate: dict[float, list[dict[str, Any]]] = {}
    for each in runs:
        if each["side"] == side:
            by_rate.setdefault(each["rate"], []).append(each)
    most = max(map(len, by_rate.values()))
    whole = [found for found in by_rate.values() if len(found) == most]
    return min(whole, key=lambda found: mean(each["phases"][-1]["val_loss"] for each in found))


def page(figures: dict[str, Any]) -> str:
    """Returns the results as Markdown."""
    runs = figures["runs"]
    parts = [_section(part, own) for part in PARTS if (own := [each for each in runs if each["part"] == part.name])]
    return (
        f"# LoRA beside full fine-tuning\n\n{figures['machine']}.\n\n"
        "Both sides by the same recipe, from a fitted head, each at the rate with the lowest mean validation loss. "
        "Memory is that of the whole process, TensorFlow included. Processor seconds are of the whole Trainer, from "
        "reading examples to the exported model.\n\n" + "\n\n".join(parts) + "\n\n`make bench-peft` makes this page."
    )


def _section(part: Part, runs: list[dict[str, Any]]) -> str:
    best = {side: at_best_rate(runs, side) for side in SIDES if any(each["side"] == side for each in runs)}
    head = (
        "side", "rate", "accuracy on test, median (range)", "parameters that train, of all", "cut", "peak memory, MB",
        "processor seconds",
    )  # fmt: skip
    every = [
        (side, f"{rate:g}", spread(_accuracies(found)), f"{mean(each['phases'][-1]['val_loss'] for each in found):.4f}")
        for side in SIDES
        for rate in sorted(part.rates)
        if (found := [each for each in runs if each["side"] == side and each["rate"] == rate])
    ]
    said = ""
    if len(best) == len(SIDES):
        behind = 100 * (median(_accuracies(best["full"])) - median(_accuracies(best["lora"])))
        seconds = [median(each["processor_seconds"] for each in best[side]) for side in ("lora", "full")]
        side = "below" if behind > 0 else "above"
        lora, full = (best[each][0]["phases"][-1] for each in ("lora", "full"))
        # The head trains on both sides, and is no part of the backbone.
        updates = lora["total_parameters"] - full["total_parameters"]
        backbone = full["total_parameters"] - (lora["trainable_parameters"] - updates)
        said = (
            f"LoRA trains {updates:,} numbers beside the backbone's {backbone:,}: {updates / backbone:.2%} of them. "
            f"LoRA's median is {abs(behind):.1f} points {side} that of full fine-tuning, for "
            f"{seconds[0] / seconds[1]:.0%} of its processor time. "
        )
    return (
        f"## {part.title}\n\n{table(head, [_row(side, found) for side, found in best.items()])}\n\n{said}At every rate:"
        f"\n\n{table(('side', 'rate', 'accuracy on test, median (range)', 'mean validation loss'), every)}"
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
    """Runs what is not done yet, one rate after the other."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("parts", nargs="*", default=[part.name for part in PARTS], metavar="PART")
    arguments.add_argument("--seeds", type=int, default=3)
    arguments.add_argument("--folder", type=Path, default=FOLDER)
    given = arguments.parse_args()
    folder = given.folder.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    figures = earlier("peft", {"machine": machine(), "runs": []})
    runs = figures["runs"]
    places, seeds = range(max(len(part.rates) for part in PARTS)), range(1, given.seeds + 1)
    parts = [each for each in PARTS if each.name in given.parts]
    for place, part, seed, (side, peft) in product(places, parts, seeds, SIDES.items()):
        rate = part.rates[place]
        facts = {"part": part.name, "side": side, "rate": rate, "seed": seed}
        if is_done(runs, **facts):
            continue
        shutil.rmtree(folder / "frozen_features", ignore_errors=True)
        runs.append({**facts, **part.run(folder, peft, rate, seed)})
        print(json.dumps({key: runs[-1][key] for key in (*facts, "accuracy", "processor_seconds")}), flush=True)
        save("peft", page(figures), figures)


if __name__ == "__main__":
    import finetune  # noqa: F401  (chooses Keras 2)

    main()
