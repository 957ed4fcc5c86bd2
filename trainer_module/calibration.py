"""Temperature scaling: logits divided by one number, so that probabilities mean what they say. No TensorFlow here."""

from __future__ import annotations

import numpy as np

from evaluation.metrics.calibration import ECE
from evaluation.tasks import TASKS as EVALUATION_TASKS
from finetune.artifacts.training_history import Calibration
from finetune.config import TrainingConfig
from trainer_module.tasks import TASKS, TrainingTask
from trainer_module.tasks.logits import OfLogits

# Bounds of the search.
COLDEST, HOTTEST = 0.05, 20.0


def fit_temperature(task: TrainingTask, targets: np.ndarray, logits: np.ndarray) -> float:
    """Finds the temperature at which the mean loss of held-out logits is lowest (Guo et al. 2017, section 4.2).

    Its logarithm has a standard normal prior, which counts as one example does: a few examples that are all right would
    make the model certain of everything.

    Args:
        targets: As `TrainingTask.targets` gives them.
        logits: float [examples, classes], of examples that the model was not trained on.
    """
    from scipy.optimize import minimize_scalar

    def loss(logarithm: float) -> float:
        return float(task.of_logits(targets, logits / np.exp(logarithm)).losses.sum()) + logarithm**2 / 2

    bounds = np.log(COLDEST), np.log(HOTTEST)
    found = minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-4})
    return float(np.exp(found.x))


def as_served(training: TrainingConfig, task: TrainingTask, targets: np.ndarray, logits: np.ndarray) -> OfLogits:
    """Judges held-out logits at the temperature at which they would be served.

    Args:
        training: Says whether there is one.
        task: Of the labels.
        targets: As `TrainingTask.targets` gives them.
        logits: float [examples, classes], of examples that the model was not trained on.
    """
    if training.calibration == "temperature":
        logits = logits / fit_temperature(task, targets, logits)
    return task.of_logits(targets, logits)


def calibrate(task: str, labels: np.ndarray, logits: np.ndarray, measured_on: str) -> Calibration:
    """Fits a temperature, and says what it changes.

    Args:
        task: Key of TASKS.
        labels: As the task has them; logits are float [examples, classes], of examples that were not trained on.
        measured_on: Which examples these are, in words.
    """
    of_task, evaluated = TASKS[task], EVALUATION_TASKS[task]
    targets = of_task.targets(labels, logits.shape[1])
    temperature = fit_temperature(of_task, targets, logits)
    figures = {}
    for name, divisor in (("before", 1.0), ("after", temperature)):
        judged = of_task.of_logits(targets, logits / divisor)
        predictions = evaluated.predictions(labels, judged.probabilities, judged.probabilities >= 0.5)
        figures[f"loss_{name}"] = float(judged.losses.mean())
        assert ECE.overall is not None
        figures[f"ece_{name}"] = float(ECE.overall(predictions, np.ones((1, len(labels))))[0])
    return Calibration(temperature=temperature, measured_on=measured_on, **figures)
