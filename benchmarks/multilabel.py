"""Several labels an example: the product's head beside logistic regression on the same frozen features.

    make bench-multilabel        (python -m benchmarks.multilabel [--seeds N] [--folder FOLDER] [ARM ...])

Each run is the whole pipeline, `finetune run`. On GoEmotions, in its own splits, word vectors see all texts of train,
and MiniLM 10,000 of them. The regression, one label against the rest, is scikit-learn's; val chooses its penalties and
thresholds, as it chooses the product's epochs and thresholds. Figures are those of test. The blood cells of BCCD run
through as well; they have too few negatives for a comparison. `benchmarks.multilabel_heads` chose the heads, on val.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

import finetune  # noqa: F401  (chooses Keras 2)
from benchmarks.flowers import real_data, weights_file
from benchmarks.pipeline_runs import examples_of, run_pipeline
from benchmarks.tables import earlier, machine, save, spread, table

FOLDER = Path("runs/benchmarks")
METRICS = {"micro_f1": "micro F1", "macro_f1": "macro F1", "mean_average_precision": "mean average precision"}
FEWER_TEXTS = 10_000
# Inverse strengths of the penalty, of features with mean 0 and deviation 1.
PENALTIES = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
PIECES, WORDS, OTHER_WORDS = 64, 64, 20_000
# Of the summary, what the page shows, and what says how it came about.
KEPT = ("status", "metrics", "baselines", "gates", "phases", "splits", "seconds")


def main() -> None:
    """Runs the arms with every seed, and writes the page; arms that are not run stay as they were measured."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("arms", nargs="*", default=list(ARMS), metavar="ARM", help=", ".join(ARMS))
    arguments.add_argument("--seeds", type=int, default=3)
    arguments.add_argument("--folder", type=Path, default=FOLDER)
    given = arguments.parse_args()
    folder, described = given.folder.absolute(), machine()
    found: dict[str, dict[str, Any]] = earlier("multilabel", {})
    regressions: dict[str, dict[str, float]] = {}
    for arm in given.arms:
        config, features = ARMS[arm](folder), FEATURES.get(arm)
        runs = [run_pipeline(folder / arm, config, seed) for seed in range(1, given.seeds + 1 if features else 2)]
        if features and features not in regressions:
            regressions[features] = regression(examples_of(runs[0]), features_of(features))
        found[arm] = {
            "machine": described,
            "runs": [{key: run[key] for key in KEPT} for run in runs],
            "regression": regressions.get(features) if features else None,
        }
        found = {name: found[name] for name in ARMS if name in found}
        save("multilabel", page(found), found)
    print(page(found))


def frozen_glove(folder: Path) -> dict[str, Any]:
    """Word vectors as they are, with all texts of train."""
    return _of_texts(
        folder,
        {"name": "GloVe", "weights": str(_table_of_words()), "text": {"max_words": WORDS}},
        {
            "batch_size": 128,
            "head": {"units": [256], "dropout": 0.3},
            "phases": [_phase("none", 30, early_stopping={"patience": 3})],
        },
    )


def tuned_glove(folder: Path) -> dict[str, Any]:
    """Word vectors that learn, and vectors of other words beside them, with all texts of train."""
    text = {"max_words": WORDS, "unknown_words": OTHER_WORDS}
    return _of_texts(
        folder,
        {"name": "GloVe", "weights": str(_table_of_words()), "text": text},
        {
            "batch_size": 64,
            "head": {"units": [], "dropout": 0.0},
            "phases": [_phase("all", 12, early_stopping={"patience": 2})],
        },
    )


def frozen_minilm(folder: Path) -> dict[str, Any]:
    """MiniLM as it is, with some texts of train."""
    return _of_texts(
        folder,
        minilm(PIECES),
        {
            "batch_size": 128,
            "head": {"units": [512], "dropout": 0.5},
            "phases": [_phase("none", 30, optimizer={"name": "adamw", "weight_decay": 0.1}, schedule="cosine")],
        },
        FEWER_TEXTS,
    )


def minilm(pieces: int) -> dict[str, Any]:
    """Returns the section `backbone` of MiniLM, which reads that many word pieces of a text."""
    return {
        "name": "BERT",
        "weights": str(real_data() / "weights" / "minilm"),
        "text": {"max_pieces": pieces},
    }


def _phase(unfreeze: str, epochs: int, **settings: Any) -> dict[str, Any]:
    return {"name": "head", "unfreeze": unfreeze, "epochs": epochs, "learning_rate": 1e-3, **settings}


def _of_texts(
    folder: Path, backbone: dict[str, Any], training: dict[str, Any], count: int | None = None
) -> dict[str, Any]:
    root = linked(folder / f"goemotions-{count or 'all'}", count)
    return {
        "name": "goemotions",
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
        "evaluation": {"gates": [{"metric": metric, "min": 0.5, "confidence": 0.95} for metric in METRICS]},
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


def features_of(backbone: str) -> Callable[[list[str]], np.ndarray]:
    """Returns what makes of texts the features that a head on the frozen backbone sees, float32 [texts, features]."""
    import tensorflow as tf

    from finetune.config import BackboneConfig
    from trainer_module.backbones.model import build_backbone
    from trainer_module.layers import PoolWords
    from transforms.piece_vocabulary import read_piece_vocabulary
    from transforms.text import WordIds
    from transforms.word_pieces import WordPieces
    from transforms.word_table import read_word_table

    if backbone == "MiniLM":
        config = BackboneConfig.model_validate(minilm(PIECES))
        encoder, pieces = build_backbone(config), WordPieces(read_piece_vocabulary(config.source))

        def of_some(texts: list[str]) -> np.ndarray:
            return encoder(pieces(tf.constant(texts), PIECES)).numpy()

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
    """Fits the regression on train with every penalty, and scores on test the one that is best on val.

    That is one penalty for all labels, or for each label that of the least loss on val: whichever has the largest sum
    of the metrics there.

    Returns:
        The metrics, by name.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.multiclass import OneVsRestClassifier
    from sklearn.preprocessing import StandardScaler

    from evaluation.thresholds import best_thresholds

    labels = {split: actual for split, (_, actual) in examples.items()}
    scaler = StandardScaler()
    train = scaler.fit_transform(features(examples["train"][0]))
    others = {split: scaler.transform(features(examples[split][0])) for split in ("val", "test")}
    candidates = []
    for penalty in PENALTIES:
        model = OneVsRestClassifier(LogisticRegression(C=penalty, solver="newton-cholesky"))
        model.fit(train, labels["train"])
        candidates.append({split: model.predict_proba(values) for split, values in others.items()})
    losses = [-np.log(np.where(labels["val"], found["val"], 1 - found["val"])).mean(axis=0) for found in candidates]
    of_label = np.argmin(losses, axis=0)
    columns = np.arange(len(of_label))
    candidates.append(
        {split: np.stack([found[split] for found in candidates])[of_label, :, columns].T for split in others}
    )
    best = max(candidates, key=lambda found: sum(scores(labels["val"], found["val"]).values()))
    return scores(labels["test"], best["test"], best_thresholds(labels["val"], best["val"]))


def scores(labels: np.ndarray, probabilities: np.ndarray, thresholds: np.ndarray | None = None) -> dict[str, float]:
    """Scores predictions by scikit-learn.

    Args:
        labels: bool [examples, labels].
        probabilities: float [examples, labels].
        thresholds: float [labels]; None takes the best for these examples.

    Returns:
        The metrics, by name.
    """
    from sklearn.metrics import average_precision_score, f1_score

    from evaluation.thresholds import best_thresholds

    said = probabilities >= (best_thresholds(labels, probabilities) if thresholds is None else thresholds)
    return {
        "micro_f1": float(f1_score(labels, said, average="micro")),
        "macro_f1": float(f1_score(labels, said, average="macro")),
        "mean_average_precision": float(average_precision_score(labels, probabilities)),
    }


def page(found: dict[str, dict[str, Any]]) -> str:
    """The results as Markdown."""
    rows = []
    for arm, results in found.items():
        runs, regressed = results["runs"], results["regression"]
        for metric, label in METRICS.items():
            values = [run["metrics"][metric] for run in runs]
            if regressed:
                shown = (spread(values), f"{regressed[metric]:.3f}", f"{median(values) - regressed[metric]:+.3f}")
            else:
                (interval,) = (gate["interval"] for gate in runs[0]["gates"] if gate["metric"] == metric)
                shown = (f"{values[0]:.3f} ({interval['low']:.3f} - {interval['high']:.3f})", "", "")
            rows.append((arm, runs[0]["splits"]["train"], label, *shown))
    head = ("arm", "examples of train", "metric", "test", "regression", "difference")
    machines = "\n".join(f"- {arm}: {results['machine']}" for arm, results in found.items())
    statuses = [run["status"] for results in found.values() for run in results["runs"]]
    return (
        f"# Several labels an example\n\n{table(head, rows)}\n\nOf GoEmotions, with 28 labels, the median over seeds "
        f"and the range; of BCCD, with 3, one run and the gates' 95% intervals. The gates let "
        f"{statuses.count('pushed')} of {len(statuses)} runs pass. `make bench-multilabel` makes this page.\n\n"
        f"{machines}"
    )


def _table_of_words() -> Path:
    return real_data() / "weights" / "glove_6b_50d_5k_words.json"


ARMS: dict[str, Callable[[Path], dict[str, Any]]] = {
    "GloVe, frozen": frozen_glove,
    "GloVe, tuned": tuned_glove,
    "MiniLM, frozen": frozen_minilm,
    "BCCD": blood_cells,
}
# What the regression beside an arm sees.
FEATURES = {"GloVe, frozen": "GloVe", "GloVe, tuned": "GloVe", "MiniLM, frozen": "MiniLM"}


if __name__ == "__main__":
    main()
