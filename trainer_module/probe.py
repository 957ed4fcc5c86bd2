"""A fitted head: regularised logistic regression on frozen features, its penalty chosen by cross-validation.

The penalty is on kernels alone, of features brought to mean 0 and deviation 1. No TensorFlow here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from evaluation.folds import group_folds, kinds_of, kinds_together
from evaluation.standardise import standardised
from trainer_module.tasks import TrainingTask

# Half the sum of squared weights counts this much beside the sum of the examples' losses: scikit-learn's 1 / C. The
# path goes from strong to weak, each fit from the one before.
PENALTIES = tuple(10.0 ** (exponent / 2) for exponent in range(8, -7, -1))
FOLDS = 5
# A penalty weaker than the best so far, and worse this often in a row, ends the path: the loss has one valley.
WORSE_IN_A_ROW = 2
# With more, cross-validation takes a stratified part of the examples; the last fit takes all.
MOST_IN_CROSS_VALIDATION = 2_500
_MAX_ITERATIONS = 300
# When L-BFGS has converged: of what is kept, and of what is only compared.
_CLOSE, _NEAR = {"gtol": 1e-5, "ftol": 1e-9}, {"gtol": 1e-4, "ftol": 1e-6}


@dataclass(frozen=True)
class Probe:
    """A probe holds a last layer, and what cross-validation said of it."""

    kernel: np.ndarray  # float32 [features, classes], on features as they are.
    offset: np.ndarray  # float32 [classes].
    penalty: float  # One of PENALTIES.
    rows: np.ndarray  # int [held out], the examples that cross-validation took.
    logits: np.ndarray  # float32 [held out, classes], of these, from fits that had not seen them.
    mean_logits: np.ndarray | None  # The same of all their views, averaged; None where there is one view.
    loss: float  # Mean loss of these logits.

    def of(self, values: np.ndarray) -> np.ndarray:
        """Returns the logits, float32 [examples, classes], of features, float32 [examples, features]."""
        return values @ self.kernel + self.offset


def fit_probe(
    task: TrainingTask,
    values: np.ndarray,
    labels: np.ndarray,
    classes: int,
    seed: int,
    weights: Sequence[float] | None = None,
    groups: Sequence[str] = (),
) -> Probe:
    """Fits the last layer of a network.

    Args:
        values: float32 [views, examples, features]. Views of one example stay together in a fold, and count together
            as much as one; the first is the example as it is, and the one that held-out logits are of.
        labels: Of the examples, as the task has them; at least two examples.
        classes: How many there are.
        seed: Shuffles examples into folds.
        weights: How much each class counts, as `TrainingTask.class_weights` gives it.
        groups: Of each example, what it shares with others, which are then in its fold; empty where nothing is known.
    """
    targets = task.targets(labels, classes)
    values, mean, scale = standardised(values)
    values, basis = _rotated(values)
    rows, folds = _folds(labels, seed, groups)
    found = _cross_validated(task, values[:, rows], targets[rows], folds, weights, _CLOSE)
    regression = _Regression(task, values, targets, weights)
    kernel, offset = regression.layer(regression.fit(found.penalty, found.solution, _CLOSE))
    kernel = (kernel if basis is None else basis.T @ kernel) / scale[:, np.newaxis]
    layer = kernel.astype(np.float32), (offset - mean @ kernel).astype(np.float32)
    plain, mean = (each.astype(np.float32) for each in (found.logits[0], found.logits.mean(axis=0)))
    return Probe(*layer, found.penalty, rows, plain, mean if len(values) > 1 else None, found.loss)


def held_out_logits(
    task: TrainingTask, values: np.ndarray, labels: np.ndarray, classes: int, seed: int, groups: Sequence[str] = ()
) -> np.ndarray:
    """Says of every example what a fit says that had not seen it, nor another of its group.

    The penalty is chosen as in `fit_probe`.

    Args:
        task: Of the labels.
        values: float32 [examples, features].
        labels: Of the examples, as the task has them; at least two examples.
        classes: How many there are.
        seed: Shuffles examples into folds.
        groups: As in `fit_probe`.

    Returns:
        Logits, float32 [examples, classes].
    """
    targets = task.targets(labels, classes)
    spanned, _ = _rotated(standardised(values[np.newaxis])[0])
    rows, folds = _folds(labels, seed, groups)
    found = _cross_validated(task, spanned[:, rows], targets[rows], folds, None, _NEAR)
    logits = np.empty(targets.shape, np.float32)
    logits[rows] = found.logits[0]
    if len(rows) == len(labels):
        return logits
    rows, folds = _folds(labels, seed, groups, len(labels))
    for fold in np.unique(folds):
        seen, held_out = rows[folds != fold], rows[folds == fold]
        regression = _Regression(task, spanned[:, seen], targets[seen], None)
        kernel, offset = regression.layer(regression.fit(found.penalty * len(seen) / len(rows), found.solution, _NEAR))
        logits[held_out] = spanned[0, held_out] @ kernel + offset
    return logits


def _rotated(values: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    """Turns features into the space that fewer rows than features span.

    The optimum lies in it, whichever rows are fitted, as what stands at right angles to them adds to the penalty alone.

    Returns:
        values: float32 [views, examples, rows]; basis: float64 [rows, features], None where nothing is spared.
    """
    flat = values.reshape(-1, values.shape[-1])
    if len(flat) >= flat.shape[1]:
        return values, None
    # Householder reflections always end; iterations of a singular value decomposition may not (LAPACK's gesdd).
    basis, triangle = np.linalg.qr(flat.T.astype(np.float64))
    return triangle.T.astype(np.float32).reshape(*values.shape[:2], -1), basis.T


def _folds(
    labels: np.ndarray, seed: int, groups: Sequence[str] = (), most: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the examples to cross-validate with, int [rows], and the fold of each: classes spread over all folds.

    Of one group alone, examples are parted.
    """
    kinds = kinds_of(labels)
    order = kinds_together(kinds, seed)
    # Every so manieth of what is sorted by class is a part with the same shares of classes.
    taken = np.linspace(0, len(order) - 1, min(len(order), most or MOST_IN_CROSS_VALIDATION)).round().astype(int)
    rows = order[taken]
    if len(set(groups)) > 1:
        return rows, group_folds(kinds[rows], np.array(groups)[rows], FOLDS, seed)
    return rows, np.arange(len(rows)) % min(FOLDS, len(rows))


@dataclass(frozen=True)
class _Best:
    penalty: float  # That with the lowest loss.
    logits: np.ndarray  # [views, examples, classes], of the examples that each fit had not seen.
    loss: float  # Mean loss of these.
    solution: np.ndarray  # The mean of those of all folds, near that of all examples.


def _cross_validated(
    task: TrainingTask,
    values: np.ndarray,
    targets: np.ndarray,
    folds: np.ndarray,
    weights: Sequence[float] | None,
    converged: Mapping[str, float],
) -> _Best:
    parts = [
        (_Regression(task, values[:, folds != fold], targets[folds != fold], weights), folds == fold)
        for fold in np.unique(folds)
    ]
    solutions: list = [None] * len(parts)
    best: _Best | None = None
    worse = 0
    for penalty in PENALTIES:
        logits = np.empty((len(values), *targets.shape), np.float64)
        for number, (regression, held_out) in enumerate(parts):
            # The penalty is beside the sum of losses, of which a fold has fewer.
            share = 1 - held_out.mean()
            solutions[number] = solution = regression.fit(penalty * share, solutions[number], converged)
            kernel, offset = regression.layer(solution)
            logits[:, held_out] = values[:, held_out] @ kernel + offset
        loss = float(task.of_logits(targets, logits[0], weights).losses.mean())
        if best is None or loss < best.loss:
            best, worse = _Best(penalty, logits, loss, np.mean(solutions, axis=0)), 0
        else:
            worse += 1
        if worse == WORSE_IN_A_ROW:
            break
    assert best is not None
    return best


class _Regression:
    """Regression on standardised features of some examples."""

    def __init__(
        self, task: TrainingTask, values: np.ndarray, targets: np.ndarray, weights: Sequence[float] | None
    ) -> None:
        self._task, self._weights = task, weights
        self._values = np.ascontiguousarray(values.reshape(-1, values.shape[-1]))
        self._targets = np.tile(targets, (len(values), 1))
        self._examples = len(targets)
        self._shape = values.shape[-1], targets.shape[1]

    def layer(self, solution: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Takes kernel and offset out of a solution."""
        features, classes = self._shape
        return solution[: features * classes].reshape(self._shape), solution[features * classes :]

    def fit(self, penalty: float, start: np.ndarray | None, converged: Mapping[str, float]) -> np.ndarray:
        """Minimises the mean loss and the penalty's share of it, from a solution on, or from nothing."""
        from scipy.optimize import minimize

        features, classes = self._shape
        if start is None:
            start = np.zeros((features + 1) * classes)
        options = {"maxiter": _MAX_ITERATIONS, **converged}
        found: np.ndarray = minimize(
            self._objective, start, (penalty / self._examples,), "L-BFGS-B", jac=True, options=options
        ).x
        return found

    def _objective(self, solution: np.ndarray, penalty: float) -> tuple[float, np.ndarray]:
        kernel, offset = self.layer(solution)
        logits = self._values @ kernel.astype(np.float32) + offset.astype(np.float32)
        judged = self._task.of_logits(self._targets, logits, self._weights)
        rows = len(self._values)
        slope = (self._values.T @ judged.slopes.astype(np.float32)).astype(np.float64) / rows + penalty * kernel
        of_offset = judged.slopes.sum(axis=0, dtype=np.float64) / rows
        value = float(judged.losses.mean()) + penalty / 2 * float((kernel**2).sum())
        return value, np.concatenate([slope.ravel(), of_offset])
