"""What the whole pipeline costs: first runs, reruns, ten new pictures among thousands, and number against seconds.

    python -m benchmarks.pipeline [--only first] [--only rerun] ... [--repetitions 5] [--folder FOLDER]

Parts: `first` (the flowers recipe and the digits demo from empty folders), `rerun` (the same command again, and with
another bound of a gate), `growth` (6,000 photographs from empty, then ten more), `scale` (7,500 to 60,000 small
pictures). Each run is a process of its own; seconds are those of the whole command, imports included.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import yaml

from benchmarks.data_side import measure
from benchmarks.flowers import ROOT, linked, real_data, weights_file
from benchmarks.synthetic_photographs import write_photographs
from benchmarks.tables import RESULTS, earlier, machine, save, spread, table

PHOTOGRAPHS, MORE = 6000, 10
COUNTS = (7500, 15000, 30000, 60000)
SMALL = 32
NAMES = {"flowers": "flowers, first run", "digits": "digits demo, first run", "rerun": "flowers, unchanged again"}
NAMES["gate"] = "flowers, another gate bound"


def command(folder: Path, *words: str) -> dict[str, Any]:
    """Runs `finetune` with these words; returns seconds in all, and those of each node."""
    started, began = time.monotonic(), time.time()
    ended = subprocess.run(
        [sys.executable, "-m", "finetune_cli.main", *words], cwd=ROOT, check=False, capture_output=True, text=True
    )
    seconds = time.monotonic() - started
    if ended.returncode:
        sys.exit(f"finetune {' '.join(words)} ended with exit code {ended.returncode}:\n{ended.stdout}{ended.stderr}")
    latest = max((folder / "runs").glob("*/summary.json"))
    # A run whose answer is that of an earlier one has no folder of its own.
    ran = latest.stat().st_mtime >= began
    nodes = {each["id"]: round(each["seconds"], 2) for each in json.loads(latest.read_text())["components"]}
    return {"seconds": round(seconds, 2), "nodes": nodes if ran else {}}


def flowers(folder: Path) -> list[str]:
    """Words that run the flowers recipe in a folder."""
    root = linked(folder.parent / "pictures")
    places = [f"output_dir={folder}", f"data.root={root}", f"backbone.weights={weights_file()}"]
    return ["run", str(ROOT / "configs" / "flowers.yaml"), *places]


def first(folder: Path, repetitions: int) -> dict[str, list[dict]]:
    """Runs the flowers recipe and the digits demo from empty folders, one after the other."""
    runs: dict[str, list[dict]] = {"flowers": [], "digits": []}
    for _ in range(repetitions):
        shutil.rmtree(folder / "flowers", ignore_errors=True)
        runs["flowers"].append(_told("flowers", command(folder / "flowers", *flowers(folder / "flowers"))))
        shutil.rmtree(folder / "digits", ignore_errors=True)
        runs["digits"].append(
            _told("digits", command(folder / "digits", "demo", "--directory", str(folder / "digits")))
        )
    return runs


def rerun(folder: Path, repetitions: int) -> dict[str, list[dict]]:
    """Runs what `first` left once more, unchanged, and with another bound of its first gate each time."""
    words = flowers(folder / "flowers")
    command(folder / "flowers", *words)
    runs: dict[str, list[dict]] = {"rerun": [], "gate": []}
    for number in range(repetitions):
        runs["rerun"].append(_told("rerun", command(folder / "flowers", *words)))
        bound = f"evaluation.gates[0].min={0.5 + time.time() % 1000 / 1e5 + number / 1e6:.6f}"
        runs["gate"].append(_told("gate", command(folder / "flowers", *words, bound)))
        command(folder / "flowers", *words)
    return runs


def growth(folder: Path, repetitions: int) -> list[dict]:
    """Ingests and transforms photographs from empty, then ten more, and those all from empty."""
    runs = []
    for repetition in range(repetitions):
        root = folder / "photographs"
        for number in range(PHOTOGRAPHS, PHOTOGRAPHS + MORE):
            for path in root.glob(f"*/{number:07}.jpg"):
                path.unlink()
        write_photographs(root, PHOTOGRAPHS)
        config, other = (_data_config(folder, name, root, 224) for name in ("grows", "from-empty"))
        from_empty = measure(config, "Transform", folder / "growth.json")
        write_photographs(root, MORE, first=PHOTOGRAPHS)
        ten_more = measure(config, "Transform", folder / "growth.json")
        whole = measure(other, "Transform", folder / "growth.json")
        same = ten_more.pop("digests") == whole.pop("digests")
        runs.append({"first": {**from_empty, "digests": None}, "more": ten_more, "same_bytes": same})
        _told(f"growth {repetition + 1}", runs[-1])
    return runs


def scale(folder: Path, repetitions: int) -> list[dict]:
    """Ingests and transforms small pictures of growing number."""
    runs = []
    for count in COUNTS:
        root = folder / f"small-{count}"
        write_photographs(root, count, short_side=SMALL)
        for _ in range(repetitions):
            found = measure(_data_config(folder, f"small-run-{count}", root, SMALL), "Transform", folder / "scale.json")
            found.pop("digests")
            runs.append(_told("scale", {"pictures": count, **found}))
    return runs


def page(figures: dict[str, Any]) -> str:
    """The table of all parts that were measured."""
    parts = [f"# The whole pipeline\n\n{figures['machine']}."]
    groups = {name: runs for part in ("first", "rerun") for name, runs in figures.get(part, {}).items()}
    if groups:
        rows: list[Sequence[Any]] = [
            (NAMES[name], spread((run["seconds"] for run in runs), 1), len(runs), _shares(runs))
            for name, runs in groups.items()
        ]
        parts.append(table(("command", "seconds, median (least - largest)", "runs", "nodes, median seconds"), rows))
        parts.append("![](pipeline.png)")
    if "growth" in figures:
        runs = figures["growth"]
        rows = [
            (name, spread((run[key]["seconds"] for run in runs), 1), spread((_data(run[key]) for run in runs), 1),
             spread((run[key]["peak_mb"] for run in runs), 0), _shares([run[key] for run in runs]))
            for key, name in (("first", f"{PHOTOGRAPHS:,} photographs from empty"), ("more", f"{MORE} more"))
        ]  # fmt: skip
        head = ("pictures", "seconds in all", "seconds of the nodes", "memory of the largest process, MB", "nodes")
        same = "the same bytes as" if all(run["same_bytes"] for run in runs) else "**other bytes than**"
        parts.append(f"{table(head, rows)}\n\nThe run with {MORE} more leaves {same} a run of all from empty.")
    if "scale" in figures:
        rows = []
        for count in sorted({run["pictures"] for run in figures["scale"]}):
            runs = [run for run in figures["scale"] if run["pictures"] == count]
            each = 1000 * median(map(_data, runs)) / count
            memory = spread((run["peak_mb"] for run in runs), 0)
            rows.append((f"{count:,}", spread(map(_data, runs), 1), f"{each:.2f}", memory, _shares(runs)))
        head = ("small pictures", "seconds of the nodes", "ms a picture", "memory of the largest process, MB", "nodes")
        parts.append(f"{table(head, rows)}\n\nFrom 20,000 examples on, `direct` starts a process a core.")
        parts.append("![](pipeline-scale.png)")
    parts.append("`make bench-pipeline` makes this page; what each part runs stands in `benchmarks/pipeline.py`.")
    return "\n\n".join(parts)


def plots(figures: dict[str, Any]) -> None:
    """Draws the shares of the nodes, and seconds and memory over the number of pictures."""
    from matplotlib import colormaps
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    groups = {name: runs for part in ("first", "rerun") for name, runs in figures.get(part, {}).items()}
    if groups:
        figure = Figure(figsize=(9, 1.6 + 0.5 * len(groups)), layout="constrained")
        axes = figure.subplots()
        names = list(dict.fromkeys(name for runs in groups.values() for name in _medians(runs)))
        for place, runs in enumerate(reversed(groups.values())):
            left, nodes = 0.0, _medians(runs)
            for number, name in enumerate(names):
                axes.barh(place, nodes.get(name, 0), left=left, color=colormaps["tab20"](number % 20))
                left += nodes.get(name, 0)
            whole = median(run["seconds"] for run in runs)
            axes.barh(place, whole - left, left=left, color="#dddddd")
            axes.plot([run["seconds"] for run in runs], [place] * len(runs), "k.", markersize=4)
        axes.set_yticks(range(len(groups)), [NAMES[name] for name in reversed(groups)])
        axes.set_xlabel("seconds; grey: imports and all that is no node; points: single runs")
        shown = [name for name in names if any(_medians(runs).get(name, 0) >= 0.5 for runs in groups.values())]
        patches = [Patch(color=colormaps["tab20"](names.index(name) % 20), label=name) for name in shown]
        figure.legend(handles=patches, fontsize=7, ncols=5, loc="outside upper center")
        figure.savefig(RESULTS / "pipeline.png", dpi=130)
    if "scale" in figures:
        figure = Figure(figsize=(8, 3), layout="constrained")
        parts: list[tuple[str, Callable[[dict[str, Any]], float]]] = [
            ("seconds of the nodes", _data),
            ("memory of the largest process, MB", lambda run: run["peak_mb"]),
        ]
        for axes, (label, of) in zip(figure.subplots(1, 2), parts, strict=True):
            counts = sorted({run["pictures"] for run in figures["scale"]})
            points = [median(of(run) for run in figures["scale"] if run["pictures"] == count) for count in counts]
            axes.plot([0, *counts] if of is _data else counts, [0, *points] if of is _data else points, "o-")
            axes.set(xlabel="small pictures", ylabel=label, ylim=(0, None))
            axes.grid(alpha=0.3)
        figure.savefig(RESULTS / "pipeline-scale.png", dpi=130)


PARTS: dict[str, Callable[[Path, int], Any]] = {"first": first, "rerun": rerun, "growth": growth, "scale": scale}


def main() -> None:
    """Measures what is asked for, and writes table, plots and raw figures."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--only", choices=PARTS, action="append", help="leave the other figures as they are")
    arguments.add_argument("--repetitions", type=int, default=5)
    arguments.add_argument("--folder", type=Path, default=Path("runs/benchmarks/pipeline"))
    given = arguments.parse_args()
    real_data()
    folder = given.folder.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    figures: dict[str, Any] = earlier("pipeline", {}) if given.only else {}
    for name in given.only or PARTS:
        described = machine()
        figures |= {name: PARTS[name](folder, given.repetitions), "machine": described}
        save("pipeline", page(figures), figures)
        plots(figures)


def _data_config(folder: Path, name: str, root: Path, image_size: int) -> Path:
    """Writes a config that reads these pictures, with nothing yet in its output folder unless the run is to grow."""
    output = folder / name
    shutil.rmtree(output, ignore_errors=True)
    backbone = {"name": "SmallCNN", "weights": "random", "image_size": image_size}
    config = {"name": name, "output_dir": str(output), "data": {"root": str(root)}, "backbone": backbone}
    file = folder / f"{name}.yaml"
    file.write_text(yaml.safe_dump(config))
    return file


def _data(run: dict[str, Any]) -> float:
    """Returns the seconds that the nodes took."""
    return sum(run["nodes"].values())


def _medians(runs: list[dict]) -> dict[str, float]:
    names = list(dict.fromkeys(name for run in runs for name in run["nodes"]))
    return {name: median(run["nodes"].get(name, 0.0) for run in runs) for name in names}


def _shares(runs: list[dict]) -> str:
    return ", ".join(f"{name} {seconds:.1f}" for name, seconds in _medians(runs).items() if seconds >= 0.05)


def _told(what: str, run: dict[str, Any]) -> dict[str, Any]:
    print(what, json.dumps(run), flush=True)
    return run


if __name__ == "__main__":
    main()
