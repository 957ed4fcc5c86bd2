"""MiniLM on the SMS Spam Collection: word pieces, similarities, and fine-tuning by `auto` beside GloVe's.

    make bench-bert              (python -m benchmarks.bert [--seeds N] [--budget MINUTES] [--folder FOLDER])

Runs are whole pipelines, `finetune run`. What was measured stays in `results/bert.json`: a benchmark that was killed
goes on behind it. A Trainer's time is given by the clock, to which `auto` keeps, and by the processor: a machine with
other work needs a larger budget for the same.
"""

from __future__ import annotations

import argparse
import csv
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml

import finetune  # noqa: F401  (chooses Keras 2)
from benchmarks.flowers import ROOT, real_data
from benchmarks.multilabel import minilm
from benchmarks.tables import earlier, machine, save, spread, table

PIECES = 128
# Cosines that the model's page and shared/real give, of pairs of these.
SENTENCES = ("The weather is lovely today.", "It's so sunny outside!", "He drove to the stadium.")
SIMILARITIES = {(0, 1): 0.6660, (0, 2): 0.1046, (1, 2): 0.1411}
WANTED = {"macro F1": "macro_f1", "accuracy": "accuracy"}


def main() -> None:
    """Measures what is not there yet, and writes the page after each run."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--seeds", type=int, default=3)
    arguments.add_argument("--budget", type=float, default=10.0, help="minutes that `auto` may take")
    arguments.add_argument("--folder", type=Path, default=Path("runs/benchmarks"))
    arguments.add_argument("--one", nargs=2, metavar=("ARM", "SEED"), help="what one process measures")
    given = arguments.parse_args()
    folder = given.folder.absolute() / "bert"
    if given.one:
        run_one(given.one[0], int(given.one[1]), folder, given.budget)
        return
    found = earlier("bert", {"machine": machine(), "runs": {}})
    for name, measured in (("tokens", tokens), ("cosines", cosines)):
        if name not in found:
            found[name] = measured()
            save("bert", page(found), found)
    for arm in ARMS:
        for seed in map(str, range(1, given.seeds + 1)):
            if seed in found["runs"].setdefault(arm, {}):
                continue
            command = [sys.executable, "-m", "benchmarks.bert", "--folder", str(given.folder.absolute())]
            command += ["--budget", str(given.budget)]
            subprocess.run([*command, "--one", arm, seed], cwd=ROOT, check=True)
            found["runs"][arm][seed] = json.loads(_figures_file(folder, arm, int(seed)).read_text())
            save("bert", page(found), found)


def page(found: dict[str, Any]) -> str:
    """Returns what there is so far as Markdown."""
    parts = [f"# MiniLM\n\n{found['machine']}."]
    if "tokens" in found:
        rows: list[Sequence[Any]] = [
            (name, each["texts"], len(each["other"])) for name, each in found["tokens"].items()
        ]
        parts.append(
            "Ids of word pieces beside those of Hugging Face's `tokenizers`, whole and cut to "
            f"{PIECES}:\n\n{table(('texts', 'number', 'with other ids'), rows)}"
        )
    if "cosines" in found:
        rows = [
            (f"{SENTENCES[one]} / {SENTENCES[other]}", f"{wanted:.4f}", f"{found['cosines'][f'{one}-{other}']:.4f}")
            for (one, other), wanted in SIMILARITIES.items()
        ]
        parts.append(f"Cosines of sentences:\n\n{table(('pair', 'published', 'found'), rows)}")
    rows = []
    for arm, runs in found["runs"].items():
        values = list(runs.values())
        if values:
            scores = [spread(run["metrics"][metric] for run in values) for metric in WANTED.values()]
            minutes = [spread((run[key] for run in values), 1) for key in ("minutes", "processor_minutes")]
            chosen = ", ".join(sorted({run["chosen"] for run in values}))
            rows.append((arm, len(values), *scores, *minutes, chosen))
    if rows:
        budgets = {f"{run['budget_minutes']:g}" for runs in found["runs"].values() for run in runs.values()}
        head = ("backbone", "seeds", *WANTED, "the Trainer, minutes", "of the processor", "chosen")
        parts.append(
            f"SMS Spam Collection, on test: median (range).\n\n{table(head, rows)}\n\nThe Trainer's minutes "
            "are those of search, last fit on train and val together, and export; of the processor, those of all "
            f"cores. The budget of `auto` was {', '.join(sorted(budgets))} minutes."
        )
    parts.append("`make bench-bert` makes this page.")
    return "\n\n".join(parts)


def run_one(arm: str, seed: int, folder: Path, budget: float) -> None:
    """Runs the pipeline in this process, and writes its figures."""
    from finetune.config import load_config
    from finetune.events import ComponentFinished, ComponentStarted, Event, subscribe
    from pipeline.local import run_pipeline

    clock: list[tuple[float, float]] = []

    def hear(event: Event) -> None:
        if isinstance(event, ComponentStarted | ComponentFinished) and event.component == "Trainer":
            clock.append((time.monotonic(), time.process_time()))

    place = _place(folder, arm)
    place.mkdir(parents=True, exist_ok=True)
    root = str(real_data() / "text" / "sms_spam.tsv")
    data = {"root": root, "layout": "table", "columns": ["label", "text"]}
    config = {"name": "sms_spam", "output_dir": str(place / "run"), "data": data, **ARMS[arm](budget)}
    file = place / f"config-{seed}.yaml"
    file.write_text(yaml.safe_dump(config, sort_keys=False))
    with subscribe(hear):
        summary = run_pipeline(load_config(file, [f"training.seed={seed}"])).plain()
    if summary["error"]:
        sys.exit(f"{arm}, seed {seed}: {summary['error']}")
    search = summary["search"]
    figures = {
        "status": summary["status"],
        "metrics": summary["metrics"],
        "splits": summary["splits"],
        "chosen": search["chosen"] if search else "its recipe",
        "candidates": search["candidates"] if search else [],
        "budget_minutes": budget,
        "minutes": (clock[-1][0] - clock[0][0]) / 60,
        "processor_minutes": (clock[-1][1] - clock[0][1]) / 60,
        "phases": summary["phases"],
    }
    _figures_file(folder, arm, seed).write_text(json.dumps(figures))


def _place(folder: Path, arm: str) -> Path:
    return folder / arm.split(",")[0]


def _figures_file(folder: Path, arm: str, seed: int) -> Path:
    return _place(folder, arm) / f"figures-{seed}.json"


def tokens() -> dict[str, Any]:
    """Holds ids of pieces against Hugging Face's; a text's `[SEP]` is taken as the letters that it is."""
    import tensorflow as tf
    from tokenizers import Tokenizer

    from transforms.piece_vocabulary import read_piece_vocabulary
    from transforms.word_pieces import WordPieces

    folder = real_data() / "weights" / "minilm"
    pieces = WordPieces(read_piece_vocabulary(str(folder)))
    whole, cut = (tf.function(call, autograph=False) for call in (pieces.encode, lambda texts: pieces(texts, PIECES)))
    theirs = Tokenizer.from_file(str(folder / "tokenizer.json"))
    theirs.encode_special_tokens = True
    found = {}
    for name, texts in {"sms_spam": sms_spam(), "GoEmotions": goemotions()}.items():
        other = []
        for part in (texts[first : first + 1000] for first in range(0, len(texts), 1000)):
            theirs.no_padding()
            theirs.no_truncation()
            wanted = [encoding.ids for encoding in theirs.encode_batch(part)]
            theirs.enable_padding(length=PIECES)
            theirs.enable_truncation(PIECES)
            wanted_cut = np.array([encoding.ids for encoding in theirs.encode_batch(part)])
            differ = (cut(tf.constant(part)).numpy() != wanted_cut).any(axis=1)
            ids = whole(tf.constant(part)).to_list()
            rows = zip(part, ids, wanted, differ, strict=True)
            other += [text for text, found_ids, of_theirs, differs in rows if differs or found_ids != of_theirs]
        found[name] = {"texts": len(texts), "other": other}
    return found


def cosines() -> dict[str, float]:
    """Computes the similarities that are published, through the product's encoder and word pieces."""
    import tensorflow as tf

    from finetune.config import BackboneConfig
    from trainer_module.backbones.model import build_backbone
    from transforms.piece_vocabulary import read_piece_vocabulary
    from transforms.word_pieces import WordPieces

    config = BackboneConfig.model_validate(minilm(PIECES))
    pieces = WordPieces(read_piece_vocabulary(config.source))
    vectors = build_backbone(config)(pieces(tf.constant(SENTENCES), PIECES)).numpy()
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return {f"{one}-{other}": float(vectors[one] @ vectors[other]) for one, other in SIMILARITIES}


def sms_spam() -> list[str]:
    """Returns the messages of the SMS Spam Collection, 5,574."""
    lines = (real_data() / "text" / "sms_spam.tsv").read_text(encoding="utf-8").split("\n")
    return [line.split("\t", 1)[1] for line in lines if line]


def goemotions() -> list[str]:
    """Returns the texts of GoEmotions, those of all splits."""
    texts: list[str] = []
    for split in ("train", "val", "test"):
        with (real_data() / "text" / "goemotions" / f"{split}.csv").open(encoding="utf-8", newline="") as file:
            texts += [row["text"] for row in csv.DictReader(file)]
    return texts


def tuned_minilm(budget: float) -> dict[str, Any]:
    """MiniLM as `auto` tunes it."""
    return {
        "backbone": minilm(PIECES),
        "training": {"strategy": "auto", "budget_minutes": budget},
        "evaluation": {"gates": GATES},
    }


def tuned_glove(budget: float) -> dict[str, Any]:
    """GloVe by the recipe of `configs/sms_spam.yaml`, which knows no budget."""
    recipe = yaml.safe_load((ROOT / "configs" / "sms_spam.yaml").read_text())
    weights = str(real_data() / "weights" / "glove_6b_50d_5k_words.json")
    return {
        "backbone": {**recipe["backbone"], "weights": weights},
        "training": recipe["training"],
        "evaluation": {"gates": GATES},
    }


GATES = [{"metric": "macro_f1", "min": 0.9}]
ARMS = {"GloVe, tuned by its recipe": tuned_glove, "MiniLM, tuned by `auto`": tuned_minilm}

if __name__ == "__main__":
    main()
