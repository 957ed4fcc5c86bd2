"""Fits the last layer of a network on the features of its frozen backbone, and reads the logits that it gives."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from finetune.config import PhaseConfig
from finetune.events import Note, emit
from trainer_module.examples.input_data import Split, evaluation_batches, labels, of_rows
from trainer_module.frozen_features.feed import Feed
from trainer_module.heads import up_to_last_layer
from trainer_module.mirror_images import mirrored
from trainer_module.phases.setup import Setup
from trainer_module.probe import Probe, fit_probe
from trainer_module.tasks.logits import OfLogits

# With more examples, mirror images tell little that the others do not, and take a pass of the backbone more.
MOST_MIRRORED = 5_000
# A phase of the head alone, long enough for what the frozen backbone gives to be kept.
HEAD_ALONE = PhaseConfig(name="probe", epochs=100, learning_rate=1.0)


class LastLayer:
    """Gives what the last layer of a network takes and gives; compiled once, it follows the weights as they change."""

    def __init__(self, setup: Setup):
        """Compiles nothing yet."""
        self._setup = setup
        self._layer = setup.model.layers[-1]
        self._below = up_to_last_layer(setup.model)
        self._extract: Callable[[Any], tf.Tensor] | None = None
        # What the layer takes of mirror images, by the digest of the picture, with the weights that fits begin with.
        self._of_mirrored: dict[bytes, np.ndarray] = {}

    def fit(self, split: Split) -> Probe:
        """Fits the layer on a split, and sets its weights; those below it are the same whenever it is fitted.

        Of pictures that may be flipped, mirror images count as much as the pictures.
        """
        start = time.monotonic()
        probe = self.probe_of(split, self._setup.training.seed)
        self.take(probe)
        text = (
            f"{self._setup.component}: the head was fitted on {split.examples:,} examples in "
            f"{time.monotonic() - start:.1f} s; cross-validation on {len(probe.rows):,} of them gave the penalty "
            f"{probe.penalty:.3g} and the loss {probe.loss:.4f}"
        )
        emit(Note(text=text))
        return probe

    def probe_of(self, split: Split, seed: int) -> Probe:
        """Returns what a fit gives whose folds are shuffled by a seed; the layer stays as it is."""
        setup, views = self._setup, [self.frozen_values(split)]
        if setup.flips and split.examples <= MOST_MIRRORED:
            views.append(self._mirrored_values(split))
        classes, of_each, weights = len(setup.classes), labels(split).numpy(), setup.class_weights
        return fit_probe(setup.task, np.stack(views), of_each, classes, seed, weights, split.groups)

    def take(self, probe: Probe) -> None:
        """Sets the weights of the layer to those of a probe."""
        self._layer.set_weights([probe.kernel, probe.offset])

    def logits(self, split: Split) -> np.ndarray:
        """Returns the logits of each example with the weights as they are, float32 [examples, classes]."""
        return self._logits_of(self._values(split))

    def logits_of_both(self, split: Split) -> np.ndarray:
        """Returns the logits of each picture and of its mirror image, float32 [2, examples, classes]."""
        return np.stack([self.logits(split), self._logits_of(self._values(split, mirrored))])

    def frozen_values(self, split: Split) -> np.ndarray:
        """Returns what the layer takes of each example, float32 [examples, features].

        What phases of the head alone would keep is kept for them.
        """
        setup = self._setup
        training = setup.training.model_copy(update={"phases": [HEAD_ALONE]})
        feed = setup.frozen_features.of(training, split, split).feeds(0, 0, 0).val
        if feed.model is setup.model or feed.model.output.node.layer is not self._layer:
            return self._values(split)
        above = up_to_last_layer(feed.model)
        return np.concatenate([above(kept, training=False).numpy() for kept, _ in feed.batches]).astype(np.float32)

    def _mirrored_values(self, split: Split) -> np.ndarray:
        """Returns what the layer takes of each mirror image; each is computed once."""
        contents = [content.tobytes() for content in split.contents]
        missing = np.array([content not in self._of_mirrored for content in contents])
        if missing.any():
            values = self._values(of_rows(split, missing), mirrored)
            self._of_mirrored.update(zip(itertools.compress(contents, missing), values, strict=True))
        return np.stack([self._of_mirrored[content] for content in contents])

    def divide_by(self, temperature: float) -> None:
        """Divides the logits, now and in the exported model, by a number above 0."""
        self._layer.set_weights([weights / np.float32(temperature) for weights in self._layer.get_weights()])

    def _logits_of(self, values: np.ndarray) -> np.ndarray:
        kernel, offset = self._layer.get_weights()
        logits: np.ndarray = values @ kernel + offset
        return logits

    def _values(self, split: Split, change: Callable[[Any], Any] = lambda inputs: inputs) -> np.ndarray:
        batches = evaluation_batches(split, self._setup.training.batch_size)
        if self._extract is None:
            self._extract = tf.function(
                lambda inputs: self._below(inputs, training=False),
                autograph=False,
                input_signature=[batches.element_spec[0]],
            )
        return np.concatenate([self._extract(change(inputs)).numpy() for inputs, _ in batches]).astype(np.float32)


def judged_held_out(setup: Setup, split: Split, probe: Probe) -> OfLogits:
    """Judges the logits that cross-validation gave of examples of a split, each by a fit that had not seen it."""
    targets = setup.task.targets(labels(split).numpy()[probe.rows], len(setup.classes))
    return setup.task.of_logits(targets, probe.logits)


def below_last_layer(feed: Feed) -> Callable[[Any], tf.Tensor]:
    """Returns what gives, compiled, the last layer's input for the batches of a feed."""
    below = up_to_last_layer(feed.model)
    return tf.function(
        lambda values: below(values, training=False),
        autograph=False,
        input_signature=[feed.batches.element_spec[0]],
    )


def logits_from(setup: Setup, feed: Feed, below: Callable[[Any], tf.Tensor]) -> np.ndarray:
    """Returns what the network says of all examples of a feed, float32 [examples, classes].

    Args:
        setup: Of the training.
        feed: One pass, such as that which a phase validates on.
        below: `below_last_layer` of the feed, or of one that reads the same network.
    """
    kernel, offset = setup.model.layers[-1].get_weights()
    # Nothing is held for gradients: of four times the examples that is less than training holds.
    training = setup.training
    inputs = _inputs(feed, 4 * math.ceil(training.batch_size / training.gradient_accumulation_steps))
    found: np.ndarray = np.concatenate([below(values).numpy() for values in inputs]).astype(np.float32)
    return found @ kernel + offset


def _inputs(feed: Feed, at_once: int) -> Iterator[Any]:
    """Yields what a network takes of all examples: from memory so many at once, else as the feed has them."""
    kept = feed.kept
    if kept is None or kept.held is None:
        yield from (values for values, _ in feed.batches)
        return
    for start in range(0, kept.rows.count, at_once):
        yield tf.cast(kept.held[start : start + at_once], kept.dtype)
