"""What a warm start saves and what it costs, and what is forgotten of spans that are no longer trained on.

    make bench-warm     (python -m benchmarks.warm_start [--only time|forgetting] [--seeds N] [--folder FOLDER])

`time`: nine tenths of the digits 5 to 9 are one span, on which the champion is trained, and the last tenth is the next.
Then all of it is trained on from the backbone and from the champion; seconds are those of the phases and of the whole
Trainer. `forgetting`: two digits a span and a window of one span, with `data.replay` and without; accuracy is that of
the trained model on pictures of the first two digits that enter no span. Each run is a process of its own.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from pathlib import Path
from statistics import median
from typing import Any

import yaml

from benchmarks.flowers import ROOT
from benchmarks.tables import machine, save, spread, table
from finetune_cli.demo import handwritten_digits, prepare, to_image

FOLDER = Path("runs/benchmarks/warm_start")
SPANS = ((5, 6), (7, 8), (9, 0))
HELD_OUT = 40  # Pictures of each of the first digits that enter no span.
REPLAY = {"share": 0.3}
GATE = {"metric": "retention", "min": -0.02, "relative_to": "champion", "confidence": 0.95}
# A first model passes, and a later one is held against the champion on what it knows alone.
GATES = [{"metric": "accuracy", "min": 0.2}, GATE]


def write_spans(folder: Path, parts: list[dict[int, list[Any]]]) -> str:
    """Writes one span for each part, pictures by their digit; returns the root that has a place for the span."""
    for number, part in enumerate(parts, start=1):
        for digit, pictures in part.items():
            target = folder / "store" / str(number) / str(digit)
            target.mkdir(parents=True)
            for place, picture in enumerate(pictures):
                to_image(picture).save(target / f"{place:03}.png")
    return f"{folder}/store/{{SPAN}}"


def by_digit() -> dict[int, list[Any]]:
    """Returns the pictures of each digit."""
    pictures, digits = handwritten_digits()
    return {digit: list(pictures[digits == digit]) for digit in range(10)}


def config_of(folder: Path, root: str, weights: Path) -> dict[str, Any]:
    """Returns the recipe of the digits on spans."""
    recipe = yaml.safe_load((ROOT / "configs" / "digits.yaml").read_text())
    backbone = {**recipe["backbone"], "weights": str(weights)}
    return {
        **{key: recipe[key] for key in ("name", "training", "augmentation")},
        "backbone": backbone,
        "data": {"root": root},
        "output_dir": str(folder / "run"),
        "evaluation": {"baselines": [], "gates": GATES},
        "serving": {"measure_seconds": 1},
    }


def run(folder: Path, config: dict[str, Any], *overrides: str) -> dict[str, Any]:
    """Runs the pipeline; returns its summary."""
    file, summary = folder / "config.yaml", folder / "summary.json"
    file.write_text(yaml.safe_dump(config, sort_keys=False))
    summary.unlink(missing_ok=True)
    command = [sys.executable, "-m", "finetune_cli.main", "run", str(file), *overrides, "--summary", str(summary)]
    ended = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    if not summary.is_file() or (found := json.loads(summary.read_text()))["status"] == "failed":
        sys.exit(f"finetune run {' '.join(overrides)} ended with exit code {ended.returncode}:\n{ended.stdout}")
    return found


def times_of(summary: dict[str, Any]) -> dict[str, float]:
    """Returns what a run took to train, and how good its model is."""
    trainer = next(node["seconds"] for node in summary["components"] if node["id"] == "Trainer")
    phases = sum(phase["seconds"] for phase in summary["phases"])
    return {"phases": phases, "trainer": trainer, "accuracy": summary["metrics"]["accuracy"]}


def time_of_warm_starts(folder: Path, weights: Path, seeds: int) -> list[dict[str, Any]]:
    """Trains a champion, then from the backbone and from the champion with a tenth more."""
    runs = []
    for seed in range(1, seeds + 1):
        own = folder / f"time-{seed}"
        shutil.rmtree(own, ignore_errors=True)
        digits = {digit: pictures for digit, pictures in by_digit().items() if digit >= 5}
        old = {digit: [each for place, each in enumerate(found) if place % 10] for digit, found in digits.items()}
        new = {digit: found[::10] for digit, found in digits.items()}
        config = config_of(own, write_spans(own, [old, new]), weights)
        of_seed = f"training.seed={seed}"
        run(own, config, of_seed, "data.spans=..1")
        # Beside another folder of versions, it leaves the champion where it is.
        cold = run(own, config, of_seed, f"push.directory={own / 'cold'}")
        warm = run(own, config, of_seed, "training.start_from=champion")
        assert warm["start"]["weights"] == "champion", warm["start"]
        runs.append({"seed": seed, "cold": times_of(cold), "warm": times_of(warm)})
        print(json.dumps(runs[-1]), flush=True)
    return runs


def forgetting(folder: Path, weights: Path, seeds: int) -> list[dict[str, Any]]:
    """Trains span after span, each from the champion before it, with replay and without."""
    runs = []
    digits = by_digit()
    held_out = {digit: digits[digit][:HELD_OUT] for digit in SPANS[0]}
    rest = {digit: digits[digit][HELD_OUT:] if digit in held_out else digits[digit] for digit in digits}
    for seed in range(1, seeds + 1):
        for side, replay in (("replay", REPLAY), ("none", None)):
            own = folder / f"forgetting-{side}-{seed}"
            shutil.rmtree(own, ignore_errors=True)
            root = write_spans(own, [{digit: rest[digit] for digit in span} for span in SPANS])
            config = config_of(own, root, weights)
            config["data"] |= {"window": 1, "replay": replay}
            for last in range(1, len(SPANS) + 1):
                given = (f"training.seed={seed}", "training.start_from=champion", f"data.spans=..{last}")
                summary = run(own, config, *given)
            gate = next(each for each in summary["gates"] if each["metric"] == "retention")
            first = accuracy_on(own / "run", held_out)
            facts = {"accuracy_on_first": first, "retention_passed": gate["passed"], "why": gate["reason"]}
            runs.append({"seed": seed, "side": side, "status": summary["status"], **facts})
            print(json.dumps(runs[-1]), flush=True)
    return runs


def accuracy_on(output: Path, held_out: dict[int, list[Any]]) -> float:
    """Returns the accuracy of the model that was trained last on pictures that it has not seen."""
    models = (output / "artifacts" / "Trainer" / "model").iterdir()
    model = max(models, key=lambda path: int(path.name)) / "Format-Serving"
    folder = output / "held_out"
    for digit, pictures in held_out.items():
        (folder / str(digit)).mkdir(parents=True, exist_ok=True)
        for place, picture in enumerate(pictures):
            to_image(picture).save(folder / str(digit) / f"{place}.png")
    files = sorted(folder.glob("*/*.png"))
    code = (
        "import sys, json, tensorflow as tf\n"
        "served = tf.saved_model.load(sys.argv[1]).signatures['serving_default']\n"
        "files = json.loads(sys.stdin.read())\n"
        "examples = tf.constant([open(file, 'rb').read() for file in files])\n"
        "print(json.dumps([label.decode() for label in served(examples=examples)['label'].numpy()]))\n"
    )
    told = subprocess.run(
        [sys.executable, "-c", code, str(model)],
        input=json.dumps(list(map(str, files))),
        capture_output=True,
        text=True,
        check=True,
    )
    labels = json.loads(told.stdout.splitlines()[-1])
    return sum(label == file.parent.name for label, file in zip(labels, files, strict=True)) / len(files)


def text_of(times: list[dict[str, Any]], forgot: list[dict[str, Any]]) -> str:
    """Writes both parts as tables."""
    parts = [f"Measured on {machine()}."]
    if times:
        rows = [
            [side, *(spread([one[side][key] for one in times]) for key in ("phases", "trainer", "accuracy"))]
            for side in ("cold", "warm")
        ]
        share = median(one["warm"]["phases"] / one["cold"]["phases"] for one in times)
        parts.append(table(["start", "seconds of the phases", "seconds of the Trainer", "test accuracy"], rows))
        parts.append(f"A warm start with a tenth more examples takes {share:.2f} of a cold one's training.")
    if forgot:
        rows = []
        for side in ("replay", "none"):
            of_side = [one for one in forgot if one["side"] == side]
            refused = sum(not one["retention_passed"] for one in of_side)
            first = spread([one["accuracy_on_first"] for one in of_side])
            rows.append([side, first, f"{refused} of {len(of_side)}"])
        parts.append(
            table(["replay", "accuracy on the first digits after the last span", "refused by retention"], rows)
        )
    return "\n\n".join(parts)


def main() -> None:
    """Measures what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=("time", "forgetting"))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--folder", type=Path, default=FOLDER)
    asked = parser.parse_args()
    folder = asked.folder.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    prepare(folder / "demo")
    weights = folder / "demo" / "backbone.h5"
    times = time_of_warm_starts(folder, weights, asked.seeds) if asked.only != "forgetting" else []
    forgot = forgetting(folder, weights, asked.seeds) if asked.only != "time" else []
    text = text_of(times, forgot)
    print(text)
    save("warm_start", text, {"time": times, "forgetting": forgot})


if __name__ == "__main__":
    main()
