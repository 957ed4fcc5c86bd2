"""Which head fits frozen features of GoEmotions: chosen on val, beside logistic regression at every penalty.

    python -m benchmarks.multilabel_heads [--folder FOLDER]

The heads are plain Keras on features that are computed once: for choosing, not for stating what the product reaches
(`benchmarks.multilabel`). Thresholds are chosen on val too, for heads and regression alike.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np

import finetune  # noqa: F401  (chooses Keras 2)
from benchmarks.multilabel import FEWER_TEXTS, FOLDER, METRICS, PENALTIES, features_of, linked, scores
from benchmarks.tables import machine, save, table

SEEDS = (1, 2)
# Width of hidden layers, dropout after each, rate, examples a batch; epochs until val is no better for five.
HEADS: dict[str, dict[str, Any]] = {
    "no hidden layer, rate 3e-3": {"units": (), "rate": 3e-3},
    "256, dropout 0.3": {"units": (256,), "dropout": 0.3},
    "512, dropout 0.5": {"units": (512,), "dropout": 0.5},
    "512, dropout 0.5, rate 3e-3": {"units": (512,), "dropout": 0.5, "rate": 3e-3},
    "512, dropout 0.5, weight decay 0.1, cosine over 30": {"units": (512,), "dropout": 0.5, "decay": 0.1},
    "512 and 256, dropout 0.3": {"units": (512, 256), "dropout": 0.3},
    "1024, dropout 0.7": {"units": (1024,), "dropout": 0.7},
}


def main() -> None:
    """Fits all heads on both backbones and writes the page."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--folder", type=Path, default=FOLDER)
    folder, described = arguments.parse_args().folder.absolute(), machine()
    rows, figures = [], []
    for backbone, count in (("GloVe", None), ("MiniLM", FEWER_TEXTS)):
        source = linked(folder / f"goemotions-{count or 'all'}", count)
        texts, labels = zip(*(goemotions(source / f"{split}.csv") for split in ("train", "val")), strict=True)
        names = sorted({label for row in labels[0] for label in row})
        actual = [np.array([[name in row for name in names] for row in of_split]) for of_split in labels]
        features = [features_of(backbone)(list(of_split)) for of_split in texts]
        candidates = {f"regression, C = {penalty:g}": {"penalty": penalty} for penalty in PENALTIES} | HEADS
        for name, settings in candidates.items():
            fit = regressed if "penalty" in settings else trained
            seeds = SEEDS if fit is trained else SEEDS[:1]
            found = [scores(actual[1], fit(features, actual, seed=seed, **settings)) for seed in seeds]
            figures.append({"backbone": backbone, "candidate": name, "val": found})
            rows.append((backbone, name, *(f"{mean(run[metric] for run in found):.3f}" for metric in METRICS)))
            print(*rows[-1], flush=True)
    text = (
        f"# Heads for several labels, on val\n\n{described}.\n\n"
        f"{table(('frozen backbone', 'candidate', *METRICS.values()), rows)}\n\nAdam at 1e-3, 128 texts a batch, mean "
        f"of {len(SEEDS)} seeds, unless it says otherwise. `python -m benchmarks.multilabel_heads` makes this page."
    )
    save("multilabel_heads", text, {"machine": described, "candidates": figures})


def goemotions(path: Path) -> tuple[list[str], list[list[str]]]:
    """Returns the texts of a table of GoEmotions, and the labels of each."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return [row["text"] for row in rows], [row["labels"].split("|") for row in rows]


def regressed(features: list[np.ndarray], actual: list[np.ndarray], seed: int, penalty: float) -> np.ndarray:
    """Fits one regression a label on train: probabilities on val, float [examples, labels]."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.multiclass import OneVsRestClassifier
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler().fit(features[0])
    model = OneVsRestClassifier(LogisticRegression(C=penalty, solver="newton-cholesky", random_state=seed))
    return model.fit(scaler.transform(features[0]), actual[0]).predict_proba(scaler.transform(features[1]))


def trained(
    features: list[np.ndarray],
    actual: list[np.ndarray],
    seed: int,
    units: tuple[int, ...],
    dropout: float = 0.0,
    rate: float = 1e-3,
    decay: float = 0.0,
) -> np.ndarray:
    """Trains a head on train: probabilities on val, float32 [examples, labels], of the epoch with the least loss."""
    import tf_keras as keras

    keras.utils.set_random_seed(seed)
    steps = -(-len(features[0]) // 128)
    layers: list[Any] = []
    for width in units:
        layers += [keras.layers.Dense(width, "relu"), keras.layers.Dropout(dropout)]
    model = keras.Sequential(
        [keras.Input(features[0].shape[1:]), *layers, keras.layers.Dense(actual[0].shape[1], "sigmoid")]
    )
    if decay:
        falling = keras.optimizers.schedules.CosineDecay(rate, 30 * steps, alpha=0.01)
        optimizer = keras.optimizers.AdamW(falling, weight_decay=decay)
        optimizer.exclude_from_weight_decay(var_names=["bias"])
    else:
        optimizer = keras.optimizers.Adam(rate)
    model.compile(optimizer, "binary_crossentropy")
    best = keras.callbacks.EarlyStopping("val_loss", patience=30 if decay else 5, restore_best_weights=True)
    train, val = ((values, labels.astype(np.float32)) for values, labels in zip(features, actual, strict=True))
    model.fit(*train, 128, 30 if decay else 60, validation_data=val, verbose=0, callbacks=[best])
    return model.predict(val[0], 1024, verbose=0)


if __name__ == "__main__":
    main()
