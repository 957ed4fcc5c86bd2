"""What trainings that began with the same weights came to, in files, and the mean of it.

The mean of several fine-tuned networks errs less than each of them (model soups, Wortsman et al. 2022,
https://arxiv.org/abs/2203.05482), and costs nothing where they were trained anyway.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tf_keras as keras
from safetensors.numpy import load_file, save_file

from finetune.files import replacing
from trainer_module.phases.state import Snapshot


class KeptWeights:
    """Keeps, of each training, the values of the variables that it changed."""

    def __init__(self, folder: Path, model: keras.Model, start: Snapshot):
        """Keeps how weights of a model differ from those at the start, in files of a folder."""
        self._folder, self._model, self._start = folder, model, start

    def keep(self, name: str) -> None:
        """Writes what the model has now, under the name of a training."""
        now = Snapshot.of(self._model).weights
        changed = {
            str(place): np.asarray(value)
            for place, (value, before) in enumerate(zip(now, self._start.weights, strict=True))
            if not np.array_equal(value, before)
        }
        self._folder.mkdir(parents=True, exist_ok=True)
        with replacing(self._file(name)) as unfinished:
            save_file(changed, unfinished)

    def bring(self, name: str) -> None:
        """Brings into the model what was kept under a name."""
        self._start.assign_to(self._model.variables)
        for place, value in load_file(self._file(name)).items():
            self._model.variables[int(place)].assign(value)

    def average_with(self, names: Sequence[str]) -> None:
        """Sets the weights of the model to the mean of its own and those kept under the names, all counted alike.

        What is no floating-point number, and what none of these trainings changed, stays the model's own.
        """
        kept = [load_file(self._file(name)) for name in names]
        for place in sorted({int(place) for each in kept for place in each}):
            variable, before = self._model.variables[place], self._start.weights[place]
            own = variable.numpy()
            if np.issubdtype(own.dtype, np.floating):
                values = [own, *(each.get(str(place), before) for each in kept)]
                variable.assign(np.mean(values, axis=0, dtype=np.float64).astype(own.dtype))

    def _file(self, name: str) -> Path:
        return self._folder / f"{name}.safetensors"
