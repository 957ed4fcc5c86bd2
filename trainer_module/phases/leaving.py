"""When training leaves because its process was told to end: right after a step, and all workers after the same one."""

from __future__ import annotations

import tensorflow as tf

from finetune import termination
from trainer_module.phases.loop import Totals


class Leaving:
    """Says after which step to save and leave.

    Reading the variables of several workers takes all of them, so one that is told to end says so in the sums of its
    next step, and the others leave with it.
    """

    def __init__(self, strategy: tf.distribute.Strategy):
        several = isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy)
        self.told = tf.Variable(0.0, trainable=False) if several else None
        self.agreed = False

    def before_step(self) -> None:
        """Tells the other workers, with the step to come, that this one leaves."""
        if self.told is not None and termination.requested():
            self.told.assign(1.0)

    def after_step(self, sums: Totals) -> None:
        """Learns from the sums over all workers whether one leaves."""
        self.agreed = termination.requested() if self.told is None else sums.told > 0
