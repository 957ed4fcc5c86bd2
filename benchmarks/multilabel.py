"""Several labels an example: the product's head beside logistic regression on the same frozen features.

    make bench-multilabel        (python -m benchmarks.multilabel [--seeds N] [--folder FOLDER] [ARM ...])

Each run is the whole pipeline, `finetune run`. On GoEmotions, in its own splits, word vectors learn from all texts of
train, and MiniLM stays frozen and sees 10,000 of them. The regression, one label against the rest, is scikit-learn's;
val chooses its penalties and thresholds, as it chooses the product's epochs and thresholds. Figures are those of test.
The blood cells of BCCD run through as well; they have too few negatives for a comparison.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

import finetune  # noqa: F401  (chooses Keras 2)
from benchmarks.flowers import real_data, weights_file
from benchmarks.minilm import minilm
from benchmarks.pipeline_runs import examples_of, run_pipeline
from benchmarks.tables import machine, save, spread, table

FOLDER = Path("runs/benchmarks")
METRICS = {"micro_f1": "micro F1", "macro_f1": "macro F1", "mean_average_precision": "mean average precision"}
FEWER_TEXTS = 10_000
# Inverse strengths of the penalty, of features with mean 0 and deviation 1.
PENALTIES = (0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0)
PIECES, WORDS = 64, 64


def main() -> None:
    """Runs every arm with every seed, and writes the page."""
    arms: dict[str, Callable[[Path], dict[str, Any]]] = {"GloVe": glove, "MiniLM": frozen_minilm, "BCCD": blood_cells}
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("arms", nargs="*", default=list(arms), metavar="ARM", help=", ".join(arms))
    arguments.add_argument("--seeds", type=int, default=3)
    arguments.add_argument("--folder", type=Path, default=FOLDER)
    given = arguments.parse_args()
    folder, described = given.folder.absolute(), machine()
    found: dict[str, dict[str, Any]] = {}
    for arm in given.arms:
        config = arms[arm](folder)
        seeds = given.seeds if arm != "BCCD" else 1
        runs = [run_pipeline(folder / arm, config, seed) for seed in range(1, seeds + 1)]
        found[arm] = {"config": config, "runs": runs}
        if arm != "BCCD":
            found[arm]["regression"] = regression(examples_of(runs[0]), features_of(arm, folder))
        print(json.dumps({name: [run["metrics"][name] for run in runs] for name in METRICS}), flush=True)
    save("multilabel", page(described, found), {"machine": described, "arms": found})


def glove(folder: Path) -> dict[str, Any]:
    """Word vectors, which learn too, on all texts of train."""
    return _of_texts(
        "goemotions_glove",
        linked(folder / "goemotions"),
        {"name": "GloVe", "weights": str(_table_of_words()), "text": {"max_words": WORDS}},
        {
            "batch_size": 64,
            "head": {"units": [512], "dropout": 0.5},
            "phases": [
                {"name": "head", "unfreeze": "none", "epochs": 5, "learning_rate": 1e-3},
                {
                    "name": "all",
                    "unfreeze": "all",
                    "epochs": 10,
                    "learning_rate": 1e-3,
                    "early_stopping": {"patience": 2},
                },
            ],
        },
    )


def frozen_minilm(folder: Path) -> dict[str, Any]:
    """MiniLM, of which nothing learns, on some texts of train."""
    encoder, preprocessor = minilm(folder, PIECES)
    return _of_texts(
        "goemotions_minilm",
        linked(folder / "goemotions-10000", FEWER_TEXTS),
        {"handle": str(encoder), "modality": "text", "text": {"preprocessor": str(preprocessor)}},
        {
            "batch_size": 64,
            "head": {"units": [512], "dropout": 0.5},
            "phases": [
                {
                    "name": "head",
                    "unfreeze": "none",
                    "epochs": 40,
                    "learning_rate": 1e-3,
                    "early_stopping": {"patience": 5},
                }
            ],
        },
    )


def _of_texts(name: str, root: Path, backbone: dict[str, Any], training: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": name,
        "task": "multi_label",
        "data": {"root": str(root), "layout": "table", "label_column": "labels"},
        "backbone": backbone,
        "training": training,
        "evaluation": {
            "baselines": ["logistic_regression"],
            "gates": [{"metric": metric, "min": 0, "relative_to": "logistic_regression"} for metric in METRICS],
        },
    }


def blood_cells(folder: Path) -> dict[str, Any]:
    """Pictures of blood, and which kinds of cells each shows."""
    return {
        "name": "bccd",
        "task": "multi_label",
        "data": {
            "root": str(real_data() / "images" / "bccd"),
            "layout": "manifest",
            "manifest": "multilabel.csv",
            "label_column": "labels",
        },
        "backbone": {
            "name": "MobileNetV2",
            "weights": str(weights_file()),
            "arguments": {"alpha": 0.35},
            "image_size": 224,
        },
        "training": {"strategy": "linear_probe"},
        "evaluation": {"gates": [{"metric": "micro_f1", "min": 0.9, "confidence": 0.95}]},
    }


def linked(folder: Path, count: int | None = None) -> Path:
    """Makes a folder of GoEmotions' tables, with that many of the texts of train: those of the lowest digests."""
    source = real_data() / "text" / "goemotions"
    folder.mkdir(parents=True, exist_ok=True)
    for split in ("train", "val", "test"):
        target = folder / f"{split}.csv"
        if target.exists():
            continue
        if split != "train" or count is None:
            target.symlink_to(source / target.name)
            continue
        with (source / target.name).open(encoding="utf-8", newline="") as file:
            rows = {hashlib.sha256(row["text"].encode()).hexdigest(): row for row in csv.DictReader(file)}
        with target.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, ("text", "labels", "id"))
            writer.writeheader()
            writer.writerows(rows[digest] for digest in sorted(rows)[:count])
    return folder


def features_of(arm: str, folder: Path) -> Callable[[list[str]], np.ndarray]:
    """Returns what makes frozen features of texts, float32 [texts, features], as the head of the arm sees them."""
    import tensorflow as tf
    import tensorflow_hub as hub

    from trainer_module.heads import PoolWords
    from transforms.text import WordIds
    from transforms.word_table import read_word_table

    if arm == "MiniLM":
        encoder, preprocessor = (hub.load(str(path)) for path in minilm(folder, PIECES))

        def of_some(texts: list[str]) -> np.ndarray:
            return encoder(preprocessor(texts))["pooled_output"].numpy()

    else:
        words = read_word_table(str(_table_of_words()))
        ids, pool = WordIds(words, "skip"), PoolWords()
        vectors = tf.constant(np.vstack([np.zeros_like(words.vectors[:1]), words.vectors]))

        def of_some(texts: list[str]) -> np.ndarray:
            return pool(tf.gather(vectors, ids(tf.constant(texts), WORDS))).numpy()

    return lambda texts: np.concatenate([of_some(texts[first : first + 64]) for first in range(0, len(texts), 64)])


def regression(
    examples: dict[str, tuple[list[str], np.ndarray]], features: Callable[[list[str]], np.ndarray]
) -> dict[str, float]:
    """Fits the regression on train, chooses the penalty of each label by its loss on val, and scores it on test.

    Returns:
        The metrics, by name.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import average_precision_score, f1_score, log_loss
    from sklearn.preprocessing import StandardScaler

    from evaluation.thresholds import best_thresholds

    labels = {split: found[1] for split, found in examples.items()}
    values = {split: features(found[0]) for split, found in examples.items()}
    scaler = StandardScaler().fit(values["train"])
    values = {split: scaler.transform(found) for split, found in values.items()}
    probabilities = {split: np.zeros(labels[split].shape) for split in ("val", "test")}
    for label in range(labels["train"].shape[1]):
        models = [
            LogisticRegression(C=penalty, max_iter=1000).fit(values["train"], labels["train"][:, label])
            for penalty in PENALTIES
        ]
        best = min(
            models,
            key=lambda model: log_loss(
                labels["val"][:, label], model.predict_proba(values["val"]), labels=[False, True]
            ),
        )
        for split, found in probabilities.items():
            found[:, label] = best.predict_proba(values[split])[:, 1]
    said = probabilities["test"] >= best_thresholds(labels["val"], probabilities["val"])
    return {
        "micro_f1": float(f1_score(labels["test"], said, average="micro")),
        "macro_f1": float(f1_score(labels["test"], said, average="macro")),
        "mean_average_precision": float(average_precision_score(labels["test"], probabilities["test"])),
    }


def page(described: str, found: dict[str, dict[str, Any]]) -> str:
    """The results as Markdown."""
    rows = []
    for arm, results in found.items():
        runs = results["runs"]
        for metric, label in METRICS.items():
            of_arm = [run["metrics"][metric] for run in runs]
            regressed = results.get("regression", {}).get(metric)
            rows.append(
                (
                    arm,
                    runs[0]["splits"]["train"],
                    label,
                    spread(of_arm),
                    "" if regressed is None else f"{regressed:.3f}",
                    "" if regressed is None else f"{median(of_arm) - regressed:+.3f}",
                    f"{runs[0]['baselines']['logistic_regression'][metric]:.3f}"
                    if "logistic_regression" in runs[0]["baselines"]
                    else "",
                )
            )
    head = (
        "arm",
        "texts or pictures of train",
        "metric",
        "pipeline, median (range)",
        "regression, penalty by val",
        "difference",
        "regression of the pipeline",
    )
    return (
        f"# Several labels an example\n\n{described}.\n\n{table(head, rows)}\n\nGoEmotions has 28 labels. "
        "`make bench-multilabel` makes this page."
    )


def _table_of_words() -> Path:
    return real_data() / "weights" / "glove_6b_50d_5k_words.json"


if __name__ == "__main__":
    main()
