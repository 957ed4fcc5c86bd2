"""What correcting label errors gains: labels flipped, the most suspect looked at, the model trained again.

    python -m benchmarks.data_corrections      (part of make bench-data-checks; FINETUNE_REAL_DATA as in the tests)

In each draw 5 % of the labels of train and val of the flowers are flipped to another class at random. `finetune
check-data` orders the examples; somebody who knows the truth looks at the first 8 % of `label_errors.csv` and corrects
what is wrong there. A fitted head on EfficientNet-Lite0 is then trained with and without that file, and judged on val/,
whose labels nobody touched. Writes benchmarks/results/data_corrections.md and .json; draws that are there are kept.
"""

from __future__ import annotations

import csv
import random
from pathlib import Path
from statistics import median
from typing import Any

import finetune  # noqa: F401  (chooses Keras 2)
from benchmarks.data_checks import FLIPPED, LOOKED_AT, flowers
from benchmarks.flowers import CLASSES, pictures
from benchmarks.pipeline_runs import run_pipeline
from benchmarks.quality import GATES, paired
from benchmarks.tables import earlier, machine, save, spread, table
from evaluation.data_checks.label_errors import FILE as LABEL_ERRORS

FOLDER = Path("runs/benchmarks/data_corrections")
DRAWS = 3
# A fitted head alone, on train and validation: minutes go by with data, not with training.
PROBE = {"head": {"start": "fitted"}, "phases": [], "refit": True}


def flip(root: Path, draw: int) -> dict[str, str]:
    """Links the flowers, some of train in the folder of another class; returns the true class of each path."""
    random_draw = random.Random(draw)
    train = pictures("train")
    flipped = set(random_draw.sample(train, round(FLIPPED * len(train))))
    truth = {}
    for split, paths in (("train", train), ("val", pictures("val"))):
        for path in paths:
            name = path.parent.name
            said = random_draw.choice([other for other in CLASSES if other != name]) if path in flipped else name
            target = root / split / said / path.name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.symlink_to(path)
            truth[target.relative_to(root).as_posix()] = name
    return truth


def correct(listed: Path, truth: dict[str, str], target: Path) -> dict[str, int]:
    """Looks at the most suspect, and writes those whose label is wrong with the right one."""
    with listed.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    looked_at = rows[: round(LOOKED_AT * len(rows))]
    wrong = [row for row in looked_at if row["label"] != truth[row["path"]]]
    with target.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, ("path", "label"))
        writer.writeheader()
        writer.writerows({"path": row["path"], "label": truth[row["path"]]} for row in wrong)
    planted = sum(row["label"] != truth[row["path"]] for row in rows)
    return {"looked_at": len(looked_at), "put_right": len(wrong), "planted": planted}


def one_draw(folder: Path, draw: int) -> dict[str, Any]:
    """Flips, checks, corrects, and trains three times: on the flipped labels, the corrected ones, and the true ones."""
    root = folder / f"flowers-{draw}"
    truth = flip(root, draw)
    data, backbone = flowers(root)
    config = {"name": "corrections", "backbone": backbone, "training": PROBE, "evaluation": {"gates": GATES}}
    runs = {"flipped": run_pipeline(folder, {**config, "data": data}, draw)}
    (listed,) = Path(runs["flipped"]["report"]).parent.glob(LABEL_ERRORS)
    corrections = folder / f"corrections-{draw}.csv"
    found = correct(listed, truth, corrections)
    runs["corrected"] = run_pipeline(folder, {**config, "data": {**data, "corrections": str(corrections)}}, draw)
    all_true = folder / f"truth-{draw}.csv"
    all_true.write_text("path,label\n" + "".join(f"{path},{name}\n" for path, name in truth.items()))
    runs["true"] = run_pipeline(folder, {**config, "data": {**data, "corrections": str(all_true)}}, draw)
    return {
        "draw": draw,
        **found,
        **{side: run["metrics"]["accuracy"] for side, run in runs.items()},
        **{f"{side}_loss": run["metrics"]["loss"] for side, run in runs.items()},
        "seconds": runs["corrected"]["seconds"],
    }


def page(figures: dict[str, Any]) -> str:
    """The results as Markdown."""
    draws = figures["draws"]
    head = ("draw", "flipped", "found in the first 8 %", "accuracy, flipped", "corrected", "true labels", "seconds")
    rows = [
        (
            each["draw"],
            each["planted"],
            each["put_right"],
            *(f"{each[side]:.3f}" for side in ("flipped", "corrected", "true")),
            f"{each['seconds']:.0f}",
        )
        for each in draws
    ]
    parts = ["# What correcting label errors gains", f"{figures['machine']}.", table(head, rows)]
    accuracy = ", ".join(
        f"{words} {spread(each[side] for each in draws)}"
        for side, words in (
            ("flipped", "with flipped labels"),
            ("corrected", "corrected"),
            ("true", "with true labels"),
        )
    )
    parts.append(
        f"Accuracy on 150 pictures, median (least - largest): {accuracy}. The corrected run took "
        f"{median(each['seconds'] for each in draws):.0f} s."
    )
    if len(draws) > 1:
        gains = paired([each["corrected"] - each["flipped"] for each in draws])
        losses = paired([each["corrected_loss"] - each["flipped_loss"] for each in draws])
        parts.append(f"Accuracy corrected less flipped: {gains}. Log-loss: {losses}.")
    parts.append("`make bench-data-checks` makes this page.")
    return "\n\n".join(parts)


def main() -> None:
    """Runs the draws that are not there yet, and writes table and figures."""
    figures: dict[str, Any] = earlier("data_corrections", {"draws": []})
    figures["machine"] = machine()
    for draw in range(len(figures["draws"]) + 1, DRAWS + 1):
        figures["draws"].append(one_draw(FOLDER.absolute() / str(draw), draw))
        save("data_corrections", page(figures), figures)


if __name__ == "__main__":
    main()
