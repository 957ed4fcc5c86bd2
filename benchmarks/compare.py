"""The product's Trainer against a plain Keras script of two phases, and against itself without frozen features.

    make bench PEER=two_phase_keras.py     (python -m benchmarks.compare [--peer FILE] [--repetitions N] [--only PART])

The script is called as `PEER DATA_ROOT WEIGHTS SEED EPOCHS1 EPOCHS2 RATE1 RATE2` and prints one JSON line with
`head_s`, `tune_s` and `accuracy`; FINETUNE_PEER names it too. Both sides have MobileNetV2 0.35 at 224 pixels, the same
pictures, batches of 32, the head Dense(256) and Dropout(0.5), Adam, the same rates and epochs, no early stopping, and
validate on as many pictures after every epoch. Runs alternate, each in a process of its own.

In the time: reading the data, building the network, training and validation of all epochs; on our side also saving
checkpoints, filling the cache from empty, predicting the validation split and exporting the model to serve; on the
script's side decoding JPEG in every epoch, which we do once, in Transform: its seconds stand beside. Not in the time of
either side: importing libraries, but for the script's processor seconds.

A script of Keras' own loop also waits: a thread of TensorFlow's that tunes input pipelines may sleep through the end of
an epoch, for up to a minute. Processor seconds do not hold that.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import finetune  # noqa: F401  (chooses Keras 2)
from benchmarks.flowers import linked, real_data, transformed, weights_file
from benchmarks.tables import RESULTS, earlier, machine, save, spread, table
from benchmarks.training import run_trainer

FOLDER = Path("runs/benchmarks")
RATES = (1e-3, 1e-5)
SIDES = ("script", "uncached", "cached")
NAMES = {
    "script": "plain Keras script",
    "uncached": "Trainer, `frozen_features: off`",
    "cached": "Trainer, cache filled from empty",
    "warm": "Trainer, cache of an earlier run",
}


def phases(head: int, tune: int) -> list[dict[str, Any]]:
    """Two phases without early stopping, as the script has them."""
    both = [
        {"name": "head", "epochs": head, "learning_rate": RATES[0], "early_stopping": None},
        {"name": "tune", "unfreeze": {"last_layers": 10}, "epochs": tune, "learning_rate": RATES[1]},
    ]
    return [{**phase, "early_stopping": None} for phase in both if phase["epochs"]]


def run_script(
    peer: Path, root: Path, seed: int, epochs: tuple[int, int], rates: tuple[float, float] = RATES
) -> dict[str, Any]:
    """Runs the script and reads what it prints; `peak_mb` and `processor_seconds` are of its process, with imports."""
    command = [sys.executable, str(peer), str(root), str(weights_file()), str(seed), *map(str, epochs + rates)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert process.stdout
    printed = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{' '.join(command)} ended with {process.returncode}")
    found = json.loads(printed.splitlines()[-1])
    return {
        "seconds": found["head_s"] + found["tune_s"],
        "processor_seconds": round(usage.ru_utime + usage.ru_stime, 1),
        "accuracy": found["accuracy"],
        "peak_mb": round(usage.ru_maxrss / 1024),
        "disk_mb": 0.0,
    }


def sides(folder: Path, peer: Path | None, pictures: int) -> dict[str, Callable[[int, tuple[int, int]], dict]]:
    """For each side, a function from seed and epochs to a run's figures."""

    def trainer(mode: str, empty: bool) -> Callable[[int, tuple[int, int]], dict]:
        def run(seed: int, epochs: tuple[int, int]) -> dict:
            if empty:
                shutil.rmtree(folder / "frozen_features", ignore_errors=True)
            training = {"seed": seed, "frozen_features": mode, "phases": phases(*epochs)}
            found = run_trainer(folder, training, train=pictures)
            return found if mode != "off" else {**found, "disk_mb": 0.0}

        return run

    found = {"uncached": trainer("off", False), "cached": trainer("auto", True), "warm": trainer("auto", False)}
    if peer:
        root = linked(folder / f"pictures-{pictures}", pictures)
        found["script"] = lambda seed, epochs: run_script(peer, root, seed, epochs)
    return found


def main_comparison(folder: Path, peer: Path | None, repetitions: int) -> list[dict]:
    """Seeds 1 to `repetitions`, all sides of each seed one after the other."""
    runs = []
    for seed in range(1, repetitions + 1):
        for side, run in sorted(sides(folder, peer, 600).items(), key=lambda item: list(NAMES).index(item[0])):
            runs.append({"side": side, "seed": seed, **run(seed, (10, 20))})
            _tell(runs[-1], f"seed {seed}")
    return runs


def scaling(
    folder: Path, peer: Path | None, repetitions: int, keep: Callable[[list[dict]], None] = lambda runs: None
) -> list[dict]:
    """Over pictures and epochs, a third of these for the head; it takes long, so each point is kept at once."""
    runs = []
    for repetition in range(1, repetitions + 1):
        for pictures in (150, 300, 600):
            for epochs in (5, 10, 20, 40):
                head = round(epochs / 3)
                found = sides(folder, peer, pictures)
                for side in [name for name in ("script", "cached") if name in found]:
                    figures = found[side](repetition, (head, epochs - head))
                    runs.append({"side": side, "pictures": pictures, "epochs": epochs, **figures})
                    _tell(runs[-1], f"{pictures} pictures, {epochs} epochs")
                keep(runs)
    return runs


def added_epoch(folder: Path, repetitions: int) -> list[dict]:
    """Phases of the head alone, of two lengths: what another epoch costs, with the cache and without."""
    runs = []
    for _ in range(repetitions):
        for side, lengths in (("uncached", (1, 4)), ("warm", (10, 110))):
            found = sides(folder, None, 600)[side]
            found(1, (1, 0))
            short, long = (found(1, (length, 0)) for length in lengths)
            each = (long["phases"][0]["seconds"] - short["phases"][0]["seconds"]) / (lengths[1] - lengths[0])
            runs.append({"side": side, "seconds": each})
            _tell(runs[-1], "another epoch of the head")
    return runs


def _phase_seconds(runs: list[dict]) -> float:
    return median(sum(phase["seconds"] for phase in run["phases"]) for run in runs)


def _tell(run: dict, what: str) -> None:
    accuracy = f"  accuracy {run['accuracy']:.3f}" if "accuracy" in run else ""
    print(f"{what:<28} {run['side']:<9} {run['seconds']:8.2f} s{accuracy}", flush=True)


def page(figures: dict[str, Any]) -> str:
    """The results as Markdown."""
    parts = [f"# The Trainer against a plain script and against itself\n\n{figures['machine']}."]
    if figures.get("main"):
        runs = figures["main"]
        by_side = {side: [run for run in runs if run["side"] == side] for side in NAMES}
        first = next(side for side in ("script", "uncached") if by_side[side])
        base = median(run["seconds"] for run in by_side[first])
        rows = [
            (
                NAMES[side],
                spread((run["seconds"] for run in found), 1),
                f"{base / median(run['seconds'] for run in found):.1f} x",
                f"{median(run['processor_seconds'] for run in found):.0f}",
                spread(run["accuracy"] for run in found),
                f"{median(run['peak_mb'] for run in found):,.0f}",
                f"{median(run['disk_mb'] for run in found):,.1f}",
            )
            for side, found in by_side.items()
            if found
        ]
        head = (
            "",
            "seconds, median (range)",
            "speed-up",
            "processor seconds",
            "accuracy on val/",
            "peak memory, MB",
            "cache on disk, MB",
        )
        nodes = ", ".join(f"{name} {seconds:g} s" for name, seconds in figures["transform"].items())
        count = len(by_side["cached"])
        parts.append(
            f"600 pictures, 10 + 20 epochs, {count} seeds; a process each, by turns.\n\n{table(head, rows)}\n\nBefore "
            f"our Trainer, once for all runs: {nodes}.\n\n![](compare.png)"
        )
        if by_side["cached"] and by_side["warm"]:
            filled, warm = (_phase_seconds(by_side[side]) for side in ("cached", "warm"))
            parts.append(
                f"The phases alone, validation and checkpoints included, take {filled:.1f} s: {warm:.1f} s for what "
                f"trains, and {filled - warm:.1f} s for one pass of the frozen part over the pictures, which makes the "
                "cache."
            )
        if by_side["script"]:
            busy = [median(run["processor_seconds"] for run in by_side[side]) for side in ("script", "cached")]
            parts.append(
                f"In processor seconds the script needs {busy[0] / busy[1]:.1f} times as much (its imports are in its "
                "figure). The rest of its time it waits: a thread of TensorFlow's that tunes input pipelines may sleep "
                "through the end of an epoch."
            )
    if figures.get("added_epoch"):
        cost = {
            side: median(run["seconds"] for run in figures["added_epoch"] if run["side"] == side)
            for side in ("uncached", "warm")
        }
        parts.append(
            f"Another epoch of the head alone, validation and checkpoint included: {cost['warm'] * 1000:.0f} ms with "
            f"the cache, {cost['uncached'] * 1000:,.0f} ms without: {100 * cost['warm'] / cost['uncached']:.1f} %."
        )
    if figures.get("scaling"):
        compared: list[Sequence[Any]] = []
        for pictures in (150, 300, 600):
            for epochs in (5, 10, 20, 40):
                found = {
                    side: [
                        run["seconds"]
                        for run in figures["scaling"]
                        if (run["side"], run["pictures"], run["epochs"]) == (side, pictures, epochs)
                    ]
                    for side in ("script", "cached")
                }
                if all(found.values()):
                    slow, fast = median(found["script"]), median(found["cached"])
                    compared.append((pictures, epochs, f"{slow:.1f}", f"{fast:.1f}", f"{slow / fast:.1f} x"))
        of_each = ("pictures", "epochs", "script, s", "Trainer, s", "speed-up")
        count = len(figures["scaling"]) // (2 * len(compared)) if compared else 0
        parts.append(f"Over pictures and epochs, median of {count}:\n\n{table(of_each, compared)}\n\n![](scaling.png)")
    parts.append("What is in the time and what is not: see `benchmarks/compare.py`. `make bench` makes this page.")
    return "\n\n".join(parts)


def plots(figures: dict[str, Any]) -> None:
    """Seconds of each side, and over pictures and epochs."""
    from matplotlib.figure import Figure

    if figures.get("main"):
        figure = Figure(figsize=(7, 2.8), layout="constrained")
        axes = figure.subplots()
        present = [side for side in NAMES if any(run["side"] == side for run in figures["main"])][::-1]
        for place, side in enumerate(present):
            seconds = [run["seconds"] for run in figures["main"] if run["side"] == side]
            axes.barh(place, median(seconds), color="#4a78b5" if side in ("cached", "warm") else "#b9bec6")
            axes.plot(seconds, [place] * len(seconds), "k.", markersize=4)
        axes.set_yticks(range(len(present)), [NAMES[side].replace("`", "") for side in present])
        axes.set_xlabel("seconds to train 10 + 20 epochs on 600 pictures")
        figure.savefig(RESULTS / "compare.png", dpi=130)
    if figures.get("scaling"):
        sizes = sorted({run["pictures"] for run in figures["scaling"]})
        figure = Figure(figsize=(1 + 2.6 * len(sizes), 3.2), layout="constrained")
        panels = figure.subplots(1, len(sizes), sharey=True, squeeze=False)[0]
        for axes, pictures in zip(panels, sizes, strict=True):
            for side, colour in (("script", "#8a9099"), ("cached", "#4a78b5")):
                runs = [run for run in figures["scaling"] if (run["side"], run["pictures"]) == (side, pictures)]
                lengths = sorted({run["epochs"] for run in runs})
                medians = [median(run["seconds"] for run in runs if run["epochs"] == length) for length in lengths]
                axes.plot(lengths, medians, "o-", color=colour, label=NAMES[side])
            axes.set(title=f"{pictures} pictures", xlabel="epochs", yscale="log")
            axes.grid(alpha=0.3)
        figure.axes[0].set_ylabel("seconds")
        figure.axes[0].legend(fontsize=7)
        figure.savefig(RESULTS / "scaling.png", dpi=130)


def main() -> None:
    """Measures what is asked for, and writes table, plots and raw figures."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--peer", type=Path, default=os.environ.get("FINETUNE_PEER"))
    arguments.add_argument("--repetitions", type=int, default=5)
    arguments.add_argument("--scaling-repetitions", type=int, default=1)
    arguments.add_argument(
        "--only", choices=["main", "added_epoch", "scaling"], help="leave the other figures as they are"
    )
    arguments.add_argument("--folder", type=Path, default=FOLDER)
    given = arguments.parse_args()
    if not given.peer:
        print("no script to compare with: give --peer FILE or set FINETUNE_PEER", file=sys.stderr)
    real_data()
    folder, peer = given.folder.absolute(), given.peer and Path(given.peer).resolve()
    figures: dict[str, Any] = earlier("compare", {}) if given.only else {}
    figures |= {"machine": machine(), "transform": transformed(folder)["seconds"]}

    def keep(name: str, runs: list[dict]) -> None:
        figures[name] = runs
        save("compare", page(figures), figures)
        plots(figures)

    parts: dict[str, Callable[[], list[dict]]] = {
        "main": lambda: main_comparison(folder, peer, given.repetitions),
        "added_epoch": lambda: added_epoch(folder, min(3, given.repetitions)),
        "scaling": lambda: scaling(folder, peer, given.scaling_repetitions, lambda runs: keep("scaling", runs)),
    }
    for name, measure in parts.items():
        if given.only in (None, name):
            keep(name, measure())


if __name__ == "__main__":
    main()
