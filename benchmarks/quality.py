"""What fine-tuning gains: `training.strategy: auto` beside the cross-validated probe, on several sets and many splits.

    make bench-quality           (python -m benchmarks.quality [--part PART] ... [--set NAME] ...)

Each run, but for those of part `sets`, is the whole pipeline, `finetune run`, and its figures are those of the test
split. Part `flowers` tests on val/, five seeds, beside the run's own baseline `logistic_regression`, and beside a plain
Keras script where FINETUNE_PEER names one. Part `backbones` lets `backbone.name: auto` choose among the networks of the
real weights with three seeds, and tunes each of the others by `auto` too. Part `texts` cuts five splits of sms_spam,
and runs the recipe, once with its unknown words left out, beside `auto`. Part `sets` cuts ten random splits of each
set, and has the Trainer train the probe (a fitted head alone, on train and val) and by `auto` on each. Runs that are in
the results already are not run again: it goes on after a kill.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import mean, median, stdev
from typing import Any

import yaml

import finetune  # noqa: F401  (chooses Keras 2)
from benchmarks.compare import run_script
from benchmarks.flowers import CLASSES, ROOT, linked, mobilenet_v2, pictures, real_data, run_to_transform
from benchmarks.pipeline_runs import run_pipeline
from benchmarks.tables import earlier, is_done, machine, save, spread, table
from benchmarks.training import Data, apart, run_trainer
from trainer_module.backbones.candidates import in_folder, label_of

FOLDER = Path("runs/benchmarks/quality")
PARTS = ("flowers", "backbones", "texts", "sets")
SEEDS, SPLITS, MINUTES = 5, 10, 3
CHOICES = 3  # Seeds for which the backbone is chosen.
# The probe is what `auto` goes back to: without room for more, and with one look at each example.
SIDES = {
    "probe": {"strategy": "auto", "budget_minutes": 0.01, "test_time_augmentation": "none"},
    "auto": {"strategy": "auto", "budget_minutes": MINUTES},
}
# Epochs and learning rates of the script's two phases.
SCRIPT = (10, 20), (1e-3, 1e-4)
# Every model passes: what is measured here is not what goes out.
GATES = [{"metric": "accuracy", "min": 0.0}]


def flowers_val(folder: Path) -> dict[str, Any]:
    """Returns the config of the flowers with val/ to test on."""
    return {
        "name": "quality_flowers",
        "data": {"root": str(linked(folder / "pictures")), "splits": {"train": "train", "val": 0.15, "test": "val"}},
        "backbone": mobilenet_v2(),
        "training": {"strategy": "auto"},
        "evaluation": {"gates": GATES, "baselines": ["logistic_regression"]},
    }


def pooled_flowers(folder: Path, each: int | None) -> Path:
    """Links pictures of train/ and val/ into one folder a class, at most `each` of a class."""
    root = folder / f"flowers-{each or 'all'}"
    for name in CLASSES:
        paths = [path for split in ("train", "val") for path in pictures(split) if path.parent.name == name][:each]
        for path in paths:
            target = root / name / f"{path.parent.parent.name}-{path.name}"
            target.parent.mkdir(parents=True, exist_ok=True)
            if not target.exists():
                target.symlink_to(path)
    return root


def digits(folder: Path) -> tuple[Path, Path]:
    """Makes the demo's digits and backbone; returns forty pictures of each in one folder a class, and the weights."""
    from finetune_cli.demo import prepare

    made, root = folder / "demo", folder / "digits"
    prepare(made)
    for path in sorted(made.glob("images/*/*/*.png")):
        target = root / path.parent.name / f"{path.parent.parent.name}-{path.name}"
        target.parent.mkdir(parents=True, exist_ok=True)
        if not target.exists() and len(list(target.parent.iterdir())) < 40:
            shutil.copy(path, target)
    return root, made / "backbone.h5"


def one_emotion(folder: Path) -> Path:
    """Writes 1,500 comments of GoEmotions, half of them with gratitude, as a table."""
    path = folder / "gratitude.csv"
    if not path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        with (real_data() / "text" / "goemotions" / "train.csv").open(encoding="utf-8") as file:
            rows = [(row["text"], "gratitude" in row["labels"].split("|")) for row in csv.DictReader(file)]
        chosen = [row for wanted in (True, False) for row in [row for row in rows if row[1] == wanted][:750]]
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(("text", "label"))
            writer.writerows((text, "gratitude" if label else "other") for text, label in chosen)
    return path


def sets(folder: Path) -> dict[str, Callable[[], dict[str, Any]]]:
    """Returns for each set a function that makes its sections `data` and `backbone`."""
    vectors = {"name": "GloVe", "weights": str(real_data() / "weights" / "glove_6b_50d_5k_words.json")}
    photographs = mobilenet_v2()

    def of_digits() -> dict[str, Any]:
        root, weights = digits(folder)
        return {"data": {"root": str(root)}, "backbone": {"name": "SmallCNN", "weights": str(weights)}}

    def of_spam() -> dict[str, Any]:
        data = {"root": str(real_data() / "text" / "sms_spam.tsv"), "layout": "table", "columns": ["label", "text"]}
        return {"data": data, "backbone": {**vectors, "text": {"max_words": 64}}}

    return {
        "flowers": lambda: {"data": {"root": str(pooled_flowers(folder, None))}, "backbone": photographs},
        "flowers, 50 a class": lambda: {"data": {"root": str(pooled_flowers(folder, 50))}, "backbone": photographs},
        "digits": of_digits,
        "sms_spam": of_spam,
        "gratitude": lambda: {"data": {"root": str(one_emotion(folder)), "layout": "table"}, "backbone": vectors},
    }


def run_flowers(folder: Path, runs: list[dict], keep: Callable[[], None]) -> None:
    """Runs `auto` with each seed on the flowers, and the script beside it."""
    peer = os.environ.get("FINETUNE_PEER")
    for seed in range(1, SEEDS + 1):
        if not is_done(runs, side="auto", seed=seed):
            found = run_pipeline(folder / "flowers-val", flowers_val(folder), seed)
            runs.append({"side": "auto", "seed": seed, **_figures(found)})
            keep()
        if peer and not is_done(runs, side="script", seed=seed):
            root = linked(folder / "pictures")
            found = run_script(Path(peer), root, seed, *SCRIPT)
            runs.append({"side": "script", "seed": seed, "accuracy": found["accuracy"], "seconds": found["seconds"]})
            keep()


def run_backbones(folder: Path, runs: list[dict], keep: Callable[[], None]) -> None:
    """Runs `auto` on the backbone that the ranking chooses, with each seed, and on the others that it ranked, once."""
    weights = real_data() / "weights"
    of_weights = {"name": "auto", "weights_dir": str(weights)}
    for seed in range(1, CHOICES + 1):
        if not is_done(runs, side="chosen", seed=seed):
            found = run_pipeline(folder / "backbones", {**flowers_val(folder), "backbone": of_weights}, seed)
            ranking = found["ranking"]
            # Without the config of each, which names files of this machine.
            ranked = [{key: each[key] for key in each if key != "backbone"} for each in ranking["candidates"]]
            facts = {"side": "chosen", "seed": seed, "network": ranking["chosen"], "ranking": ranked}
            runs.append({**facts, **_figures(found)})
            keep()
    networks = {label_of(each): each for each in in_folder(weights, "image").candidates}
    for candidate in ranking_of(runs):
        network = candidate["label"]
        if candidate["problem"] or is_done(runs, network=network, seed=1):
            continue
        backbone = json.loads(networks[network].model_dump_json(exclude_defaults=True))
        place = folder / f"backbones-{_folder_name(network)}"
        found = run_pipeline(place, {**flowers_val(folder), "backbone": backbone}, 1)
        runs.append({"side": "named", "seed": 1, "network": network, **_figures(found)})
        keep()


def ranking_of(runs: list[dict]) -> list[dict]:
    """Returns what the first of the runs that ranked networks found out of each."""
    found: list[dict] = next(run["ranking"] for run in runs if "ranking" in run)
    return found


def run_texts(folder: Path, runs: list[dict], keep: Callable[[], None]) -> None:
    """Runs the recipe of sms_spam, as it is and without unknown words, and `auto`, on the same splits."""
    recipe = yaml.safe_load((ROOT / "configs" / "sms_spam.yaml").read_text())
    sections = sets(folder)["sms_spam"]()
    skipping = {**sections["backbone"], "text": {**sections["backbone"]["text"], "unknown_words": "skip"}}
    sides = {
        "recipe, unknown words left out": (skipping, recipe["training"]),
        "recipe": (sections["backbone"], recipe["training"]),
        "auto": (sections["backbone"], {"strategy": "auto"}),
    }
    for seed in range(1, SEEDS + 1):
        for side, (backbone, training) in sides.items():
            if is_done(runs, side=side, seed=seed):
                continue
            data = {**sections["data"], "split_salt": f"s{seed}"}
            config = {"data": data, "backbone": backbone, "training": training, "evaluation": {"gates": GATES}}
            found = run_pipeline(folder / f"texts-{side.split()[-1]}", {"name": "quality_texts", **config}, seed)
            runs.append({"side": side, "seed": seed, **_figures(found)})
            keep()


def run_sets(folder: Path, wanted: list[str], runs: list[dict], keep: Callable[[], None]) -> None:
    """Trains the probe and by `auto` on each split of each set, one split of all sets after the other."""
    for split in range(1, SPLITS + 1):
        for name in wanted:
            missing = {side: of for side, of in SIDES.items() if not is_done(runs, set=name, split=split, side=side)}
            if not missing:
                continue
            place = folder / "sets" / _folder_name(name)
            sections = sets(folder)[name]()
            data = cut(place, {**sections, "data": {**sections["data"], "split_salt": f"split {split}"}})
            for side, training in missing.items():
                found = run_trainer(place, training, backbone=sections["backbone"], data=data)
                figures = {key: found[key] for key in ("accuracy", "loss", "seconds", "averaging")}
                of_search = {key: found["search"][key] for key in ("chosen", "candidates")}
                runs.append({"set": name, "split": split, "side": side, **figures, **of_search})
                print(name, split, side, runs[-1]["accuracy"], runs[-1]["chosen"], flush=True)
                keep()


def cut(folder: Path, sections: dict[str, Any]) -> Data:
    """Runs the nodes up to Transform on a split of a set."""
    shutil.rmtree(folder / "pipeline", ignore_errors=True)
    raw = {"name": "quality", "output_dir": str(folder / "pipeline"), **sections}
    found = apart(run_to_transform, raw)
    return Data(found["graph"], {name: found[name] for name in ("train", "val")}, apart(with_labels, found["test"]))


def with_labels(files: Sequence[str]) -> list[tuple[bytes, str]]:
    """Reads raw examples, serialized, each with its label."""
    import tensorflow as tf

    from transforms.records import read_records

    records = list(read_records(list(files)).as_numpy_iterator())
    labels = (tf.train.Example.FromString(record).features.feature["label"].bytes_list.value[0] for record in records)
    return [(record, label.decode()) for record, label in zip(records, labels, strict=True)]


def page(figures: dict[str, Any]) -> str:
    """The results as Markdown."""
    parts = [
        f"# What fine-tuning gains\n\nThe latest rows: {figures['machine']}. Seconds of earlier ones may be of another "
        "machine."
    ]
    of = {side: [run for run in figures.get("flowers", []) if run["side"] == side] for side in ("auto", "script")}
    if of["auto"]:
        rows = [("`auto`", spread(run["accuracy"] for run in of["auto"]), _seconds(of["auto"]))]
        own = [run["logistic_regression"] for run in of["auto"]]
        rows.append(("its baseline `logistic_regression`", spread(own), ""))
        if of["script"]:
            rows.append(("plain Keras script", spread(run["accuracy"] for run in of["script"]), _seconds(of["script"])))
        chosen = ", ".join(f"{run['seed']}: {run['chosen']}" for run in of["auto"])
        head = ("flowers, tested on val/", "accuracy, median (least - largest)", "seconds of training, median")
        parts.append(f"{table(head, rows)}\n\nChosen, by seed: {chosen}.")
        averaged = [str(run["seed"]) for run in of["auto"] if (run.get("averaging") or {}).get("applied")]
        parts.append(f"Seeds whose model averages each picture with its mirror image: {', '.join(averaged) or 'none'}.")
    if any("ranking" in run for run in figures.get("backbones", [])):
        parts.append(_of_backbones(figures["backbones"]))
    if figures.get("texts"):
        parts.append(_of_texts(figures["texts"]))
    if figures.get("sets"):
        parts.append(
            f"The sets below are split at random, with `training.budget_minutes: {MINUTES}`. The probe is the fitted "
            "head that `auto` goes back to, with one look at each example: where nothing gains on it, both are the "
            "same model."
        )
    for name in dict.fromkeys(run["set"] for run in figures.get("sets", [])):
        parts.append(_of_set(name, [run for run in figures["sets"] if run["set"] == name]))
    parts.append("`make bench-quality` makes this page.")
    return "\n\n".join(parts)


def _of_backbones(runs: list[dict]) -> str:
    """A table of the networks as they were ranked, with what `auto` made of each, and the seconds of the ranking."""
    rows = []
    for each in ranking_of(runs):
        of_network = [run for run in runs if run["network"] == each["label"]]
        tested = spread(run["accuracy"] for run in of_network) if of_network else each["problem"]
        seeds, seconds = len(of_network), _seconds(of_network) if of_network else ""
        held_out = f"{each['loss']:.3f} ± {each['standard_error']:.3f}", f"{each['accuracy']:.3f}"
        measured = f"{each['latency_ms']:.1f}", f"{each['size_mb']:.1f}", f"{each['seconds']:.0f}"
        rows.append((each["label"], *held_out, *measured, tested, seeds, seconds))
    of_ranking = ("backbone", "held-out loss", "held-out accuracy", "ms", "MB", "seconds to rank")
    head = (*of_ranking, "accuracy by `auto`, tested on val/", "seeds", "seconds of training, median")
    chosen = sorted({run["network"] for run in runs if run["side"] == "chosen"})
    seconds = sum(each["seconds"] for each in ranking_of(runs))
    return f"{table(head, rows)}\n\nThe ranking took {seconds:.0f} s and chose {' and '.join(chosen)}."


def _of_texts(runs: list[dict]) -> str:
    """A table of the sides, and what `auto` gains on each of the others over the same splits."""
    by_side: dict[str, list[dict]] = {}
    for run in runs:
        by_side.setdefault(run["side"], []).append(run)
    rows = [(side, spread(run["macro_f1"] for run in found), _seconds(found)) for side, found in by_side.items()]
    parts = [table(("sms_spam, GloVe", "macro F1, median (least - largest)", "seconds of training, median"), rows)]
    of_auto = {run["seed"]: run["macro_f1"] for run in by_side.pop("auto", [])}
    for side, found in by_side.items():
        gains = [of_auto[run["seed"]] - run["macro_f1"] for run in found if run["seed"] in of_auto]
        if len(gains) > 1:
            parts.append(f"Macro F1 of `auto` less that of the {side}: {paired(gains)}.")
    return "\n\n".join(parts)


def paired(gains: Sequence[float]) -> str:
    """The mean of paired differences, its standard error and its 95 % interval by Student's t; at least two."""
    from scipy.stats import t

    error = stdev(gains) / math.sqrt(len(gains))
    half = float(t.ppf(0.975, len(gains) - 1)) * error
    return (
        f"mean of {len(gains)} splits {mean(gains):+.4f}, standard error {error:.4f}, 95 % interval "
        f"{mean(gains) - half:+.4f} to {mean(gains) + half:+.4f}"
    )


def _of_set(name: str, runs: list[dict]) -> str:
    """A table of the splits of a set that both sides have, and the paired difference over them."""
    by_side = {side: {run["split"]: run for run in runs if run["side"] == side} for side in ("probe", "auto")}
    both = sorted(set(by_side["probe"]) & set(by_side["auto"]))
    if not both:
        return f"## {name}\n\nNo split of it has both yet."
    rows, parts = [], [f"## {name}"]
    for split in both:
        probe, auto = by_side["probe"][split], by_side["auto"][split]
        gain = auto["accuracy"] - probe["accuracy"]
        cells = (probe["accuracy"], auto["accuracy"], gain, probe["loss"], auto["loss"])
        rows.append((split, *(f"{cell:.4f}" for cell in cells), auto["chosen"], f"{auto['seconds']:.0f}"))
    head = ("split", "probe", "auto", "difference", "probe, log-loss", "auto, log-loss", "chosen", "seconds")
    if len(both) > 1:
        for key, words in (("accuracy", "Accuracy"), ("loss", "Log-loss")):
            differences = [by_side["auto"][split][key] - by_side["probe"][split][key] for split in both]
            parts.append(f"{words} of `auto` less that of the probe: {paired(differences)}.")
    return "\n\n".join([*parts, table(head, rows)])


def main() -> None:
    """Measures what is asked for and is not there yet, and writes table and raw figures."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--part", choices=PARTS, action="append")
    arguments.add_argument("--set", choices=list(sets(FOLDER)), action="append")
    arguments.add_argument("--folder", type=Path, default=FOLDER)
    given = arguments.parse_args()
    folder = given.folder.absolute()
    figures: dict[str, Any] = earlier("quality", {"flowers": [], "sets": []})
    figures["machine"] = machine()

    def keep() -> None:
        save("quality", page(figures), figures)

    parts = given.part or PARTS
    if "flowers" in parts:
        run_flowers(folder, figures["flowers"], keep)
    if "backbones" in parts:
        run_backbones(folder, figures.setdefault("backbones", []), keep)
    if "texts" in parts:
        run_texts(folder, figures.setdefault("texts", []), keep)
    if "sets" in parts:
        run_sets(folder, given.set or list(sets(folder)), figures["sets"], keep)


def _figures(summary: dict[str, Any]) -> dict[str, Any]:
    """What is kept of a run: figures of the test split, what was chosen, and seconds of the Trainer."""
    seconds = next(node["seconds"] for node in summary["components"] if node["id"] == "Trainer")
    search = summary.get("search")
    baseline = summary["baselines"].get("logistic_regression", {})
    return {
        **{name: summary["metrics"][name] for name in ("accuracy", "macro_f1", "loss") if name in summary["metrics"]},
        "seconds": seconds,
        "chosen": search["chosen"] if search else "",
        "averaging": summary.get("averaging"),
        "candidates": search["candidates"] if search else [],
        **({"logistic_regression": baseline["accuracy"]} if baseline else {}),
    }


def _folder_name(name: str) -> str:
    return "".join(letter if letter.isalnum() else "_" for letter in name)


def _seconds(runs: list[dict]) -> str:
    return f"{median(run['seconds'] for run in runs):.0f}"


if __name__ == "__main__":
    main()
