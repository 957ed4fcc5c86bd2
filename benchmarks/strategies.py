"""Which strategy fits: five seeds of each on five kinds of flowers, by accuracy on pictures that training never saw.

    make bench-strategies        (python -m benchmarks.strategies [--seeds N] [--folder FOLDER] [STRATEGY ...])

Each run trains on 510 pictures of train/ and stops early by 90 others; accuracy is that of the exported model on the
150 pictures of val/. What the frozen layers give is kept from run to run, so that only the first run of each cut pays
for it. What is in the results already is not run again: it goes on after a kill. `auto`, on the same pictures, is in
`benchmarks.quality`.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from statistics import median
from typing import Any

import finetune  # noqa: F401  (chooses Keras 2)
from benchmarks.tables import RESULTS, earlier, is_done, machine, save, spread, table
from benchmarks.training import run_trainer

STRATEGIES = ("linear_probe", "two_phase", "gradual", "adaptive", "discriminative")
FOLDER = Path("runs/benchmarks")


def main() -> None:
    """Runs all strategies and seeds, one seed of each strategy after the other."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("strategies", nargs="*", default=STRATEGIES, metavar="STRATEGY")
    arguments.add_argument("--seeds", type=int, default=5)
    arguments.add_argument("--folder", type=Path, default=FOLDER)
    given = arguments.parse_args()
    figures: dict[str, Any] = earlier("strategies", {"machine": machine(), "runs": []})
    runs = figures["runs"]
    for seed in range(1, given.seeds + 1):
        for strategy in given.strategies:
            if is_done(runs, strategy=strategy, seed=seed):
                continue
            training = {"strategy": strategy, "seed": seed}
            found = run_trainer(given.folder.absolute(), training, train=600, val=90, held_out=True)
            runs.append({"strategy": strategy, "seed": seed, **found})
            print(f"seed {seed}  {strategy:<15} accuracy {found['accuracy']:.3f}  {found['seconds']:.1f} s", flush=True)
            save("strategies", page(figures), figures)
    plot(by_strategy(runs))


def by_strategy(runs: list[dict]) -> dict[str, list[dict]]:
    """The runs of each strategy, in the order of the first seed."""
    return {
        name: [run for run in runs if run["strategy"] == name] for name in dict.fromkeys(r["strategy"] for r in runs)
    }


def page(figures: dict[str, Any]) -> str:
    """The results as Markdown."""
    runs = figures["runs"]
    rows = [
        (
            name,
            spread(run["accuracy"] for run in found),
            spread((run["seconds"] for run in found), 1),
            " + ".join(f"{median(run['phases'][index]['epochs'] for run in found):g}" for index in _phases(found)),
            ", ".join(
                f"{phase['name']}: {phase['frozen_features']['cut'] if phase['cached_trunk'] else 'none'}"
                for phase in found[0]["phases"]
            ),
        )
        for name, found in by_strategy(runs).items()
    ]
    head = ("strategy", "accuracy on val/, median (range)", "seconds, median (range)", "epochs a phase", "cuts")
    several = [run["phases"][1:] for run in runs if len(run["phases"]) > 1]
    idle = sum(all(phase["best_epoch"] == 0 for phase in later) for later in several)
    seeds = len({run["seed"] for run in runs})
    return (
        f"# Strategies\n\n{seeds} seeds each, MobileNetV2 0.35 at 224 pixels, 510 pictures to train on, 90 to stop "
        f"early by, 150 to test on. {figures['machine']}.\n\n{table(head, rows)}\n\nIn {idle} of "
        f"{len(several)} runs with more than one phase, no phase after the first lowered the validation loss, so that "
        "the weights of the first were kept: the head alone fits these pictures before the backbone moves. One picture "
        "of val/ is 0.007.\n\n![](strategies.png)\n\n`make bench-strategies` makes this page. "
        "`auto` on the same pictures: [what fine-tuning gains](quality.md)."
    )


def _phases(runs: list[dict]) -> range:
    return range(min(len(run["phases"]) for run in runs))


def plot(found: dict[str, list[dict]]) -> None:
    """Accuracy against seconds, a point for each run."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.subplots()
    for name, runs in found.items():
        axes.scatter([run["seconds"] for run in runs], [run["accuracy"] for run in runs], label=name, alpha=0.8)
    axes.set(xlabel="seconds to train and export", ylabel="accuracy on 150 pictures of val/", xscale="log")
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(RESULTS / "strategies.png", dpi=130)


if __name__ == "__main__":
    main()
