"""Likely label errors, by confident learning (Northcutt, Jiang and Chuang 2021) as cleanlab has it."""

from __future__ import annotations

import csv
import io
import json
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from evaluation.data_checks.check import TRAIN, VAL, DataCheck, Examples, Found, Suspect
from evaluation.folds import group_folds

FILE = "label_errors.csv"
FOLDS = 5
# More texts have enough of everything that word vectors or an encoder know.
MOST_TEXTS, MOST_PIECES = 50_000, 50_000
HEADER = ("path", "label", "suggested", "score")


@dataclass(frozen=True)
class Judged:
    """Examples of train and val in the order of suspicion, the most suspect first.

    Attributes:
        rows: int [examples], their numbers.
        scores: float [examples], how far the label can be trusted, from 0 to 1.
        wrong: bool [examples], whether confident learning counts it among the errors.
        suggested: bool [examples, classes].
    """

    rows: np.ndarray
    scores: np.ndarray
    wrong: np.ndarray
    suggested: np.ndarray


def judge_labels(examples: Examples) -> Judged:
    """Orders the examples of train and val by how little their label can be trusted."""
    rows = examples.rows(TRAIN, VAL)
    labels, held_out = examples.labels[rows], examples.held_out[rows].astype(np.float64)
    if examples.texts is not None and examples.one_label and len(rows) <= MOST_TEXTS:
        groups = None if examples.groups is None else examples.groups[rows]
        held_out = (held_out + _by_letters([examples.texts[row] for row in rows], labels, held_out, groups)) / 2
    judge = _judge_one_label if examples.one_label else _judge_several_labels
    scores, wrong, suggested = judge(labels, held_out)
    order = np.argsort(scores, kind="stable")
    return Judged(rows[order], scores[order], wrong[order], suggested[order])


def _by_letters(
    texts: Sequence[str], labels: np.ndarray, otherwise: np.ndarray, groups: np.ndarray | None
) -> np.ndarray:
    """Returns what logistic regression on pieces of words says of texts that it has not seen, float [texts, classes].

    Letters tell where a vocabulary of word vectors ends: names, numbers, misspellings. Where no class has an example
    for each fold, what is said `otherwise` stands.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import PredefinedSplit, StratifiedKFold, cross_val_predict

    present, given = np.unique(labels.argmax(axis=1), return_inverse=True)
    if np.bincount(given).max() < FOLDS or len(present) < 2:
        return otherwise
    pieces = TfidfVectorizer(analyzer="char_wb", ngram_range=(1, 4), sublinear_tf=True, max_features=MOST_PIECES)
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=1)
    if groups is not None and len(np.unique(groups)) > 1:
        folds = PredefinedSplit(group_folds(given, groups, FOLDS, 1))
    found = np.zeros(labels.shape)
    with warnings.catch_warnings():
        # A class with fewer examples than there are folds is in some of them.
        warnings.simplefilter("ignore")
        found[:, present] = cross_val_predict(
            LogisticRegression(max_iter=1000), pieces.fit_transform(texts), given, cv=folds, method="predict_proba"
        )
    return found


def _judge_one_label(labels: np.ndarray, held_out: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    from cleanlab.filter import find_label_issues
    from cleanlab.rank import get_label_quality_scores

    given = labels.argmax(axis=1)
    scores = get_label_quality_scores(given, held_out, method="normalized_margin")
    wrong = find_label_issues(given, held_out, n_jobs=1)
    return scores, wrong, np.eye(labels.shape[1], dtype=bool)[held_out.argmax(axis=1)]


def _judge_several_labels(labels: np.ndarray, held_out: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    from cleanlab.multilabel_classification import filter, get_label_quality_scores

    # Of a label that all examples have, or none, there is nothing to learn by which of them is wrong.
    told = np.flatnonzero((labels != labels[0]).any(axis=0))
    if len(told) == 0:
        return np.ones(len(labels)), np.zeros(len(labels), bool), held_out > 0.5
    if len(told) == 1:
        # cleanlab takes one label alone for a class and its absence.
        there, likely = labels[:, told[0]].astype(bool), held_out[:, told[0]]
        pair = np.stack([~there, there], axis=1), np.stack([1 - likely, likely], axis=1)
        return *_judge_one_label(*pair)[:2], held_out > 0.5
    given = [np.flatnonzero(each).tolist() for each in labels[:, told]]
    scores = get_label_quality_scores(given, held_out[:, told])
    wrong = filter.find_label_issues(given, held_out[:, told], n_jobs=1)
    return scores, wrong, held_out > 0.5


def _find(examples: Examples) -> Found:
    judged = judge_labels(examples)
    likely = np.flatnonzero(judged.wrong)
    suspects = [
        Suspect(
            (int(judged.rows[place]),),
            f"labelled {examples.label(judged.rows[place]) or 'nothing'}, looks like "
            f"{_names(examples, judged.suggested[place]) or 'nothing'}",
            _names(examples, judged.suggested[place]),
        )
        for place in likely
    ]
    return Found(
        value=len(likely) / len(judged.rows),
        suspects=suspects,
        drop=judged.rows[likely],
        files={FILE: "".join(_lines(examples, judged))},
    )


def _names(examples: Examples, has: np.ndarray) -> str:
    return ", ".join(name for name, one in zip(examples.classes, has, strict=True) if one)


def _lines(examples: Examples, judged: Judged) -> Iterator[str]:
    """Yields the lines of the CSV file; several labels are joined as in a table that is read."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(HEADER)
    for row, score, suggested in zip(judged.rows, judged.scores, judged.suggested, strict=True):
        cells = (_cell(examples, examples.labels[row]), _cell(examples, suggested))
        writer.writerow((examples.paths[row], *cells, f"{score:.6f}"))
    yield buffer.getvalue()


def _cell(examples: Examples, has: np.ndarray) -> str:
    """Writes labels as `data.corrections` reads them."""
    names = [name for name, one in zip(examples.classes, has, strict=True) if one]
    return json.dumps(names) if not examples.one_label and "|" in "".join(names) else "|".join(names)


LABEL_ERRORS = DataCheck(
    name="label_errors",
    label="likely label errors",
    measures="share of the train and val examples whose label is likely wrong",
    meaning="Confident learning (Northcutt, Jiang and Chuang 2021, by cleanlab) on probabilities that logistic "
    "regression on frozen features gives to examples that it has not seen, nor others of their group "
    "(`data.group_column`); of texts with one label, the mean of these and of those by regression on pieces of words "
    "of up to four letters. For `multi_label`, each label by itself.",
    bound=0.05,
    advice=f"Look at them in the order of {FILE}, write the right label in its column `label`, and name the file as "
    "`data.corrections`; where pictures have boxes or masks, correct these themselves.",
    find=_find,
    drops=True,
)
