"""What a training that begins with the champion's weights does of what one from the backbone would. No TensorFlow."""

from __future__ import annotations

from collections.abc import Sequence

from finetune.config import PhaseConfig, TrainingConfig
from finetune.config.strategies import AUTO
from trainer_module.search.candidates import Candidate, training_of


def warm_training(
    training: TrainingConfig, candidates: Sequence[Candidate], recipe: str, moved: bool, grown: bool
) -> TrainingConfig:
    """Returns the training of a warm start.

    Under `auto` it goes on with the recipe that the champion was chosen for, without a search; where that is not known,
    it searches from the champion's weights on. Phases take `warm_share` of their time. Those of the head alone are
    there so that a random head does not spoil the backbone, and are left out unless there are new classes or no others.
    The head is fitted where the backbone is as it was pretrained, whose features have seen no label, or where classes
    are new to it; otherwise it goes on as it is.

    Args:
        training: As from the backbone.
        candidates: Of `auto`.
        recipe: Name of the champion's among them; "" where it has none.
        moved: Whether training has changed the champion's backbone.
        grown: Whether there are classes that the champion does not know.
    """
    if training.strategy == AUTO:
        known = next((each for each in candidates if each.name == recipe), None)
        if known is None:
            return training
        training = training_of(known, training).model_copy(update={"strategy": recipe})
    phases = [each for each in training.phases if grown or not each.unfreeze.is_nothing] or training.phases
    fits = training.head.start == "fitted" and (grown or not moved)
    head = training.head.model_copy(update={"start": "fitted" if fits else "random"})
    return training.model_copy(
        update={"phases": [shortened(each, training.warm_share) for each in phases], "head": head}
    )


def shortened(phase: PhaseConfig, share: float) -> PhaseConfig:
    """Returns a phase that takes a share of its time, warm-up and patience included.

    It takes an epoch, step or example at least, and waits an epoch for a gain at least.
    """
    lasting = {
        unit: max(1, round(share * count))
        for unit in ("epochs", "steps", "examples")
        if (count := getattr(phase, unit)) is not None
    }
    warm_up = share * phase.schedule.warmup_epochs
    schedule, stopping = phase.schedule.model_copy(update={"warmup_epochs": warm_up}), phase.early_stopping
    if stopping:
        stopping = stopping.model_copy(update={"patience": max(1, round(share * stopping.patience))})
    return phase.model_copy(update={**lasting, "schedule": schedule, "early_stopping": stopping})
