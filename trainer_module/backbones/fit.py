"""Whether a config's backbone and what it asks of it go together, before anything is built. No TensorFlow here."""

from __future__ import annotations

from collections.abc import Sequence

from finetune.config import STRATEGIES, BackboneConfig, PhaseConfig, TrainingConfig, Unfreeze
from finetune.errors import BackboneError
from trainer_module.backbones.source import UNFREEZE_FORMS
from trainer_module.backbones.sources import source_of
from trainer_module.peft.targets import BY_NAME
from trainer_module.phases.freezing import Layer, trainable_layers


def phase_problems(config: BackboneConfig, training: TrainingConfig) -> list[str]:
    """Holds every phase against the layers of the backbone, as far as its source knows them without building it.

    Args:
        config: Of a backbone that some source selects.
        training: Its phases; of the strategy `auto`, those of its own. It leaves out what the backbone does not allow.

    Returns:
        A line for each phase that the Trainer would refuse.
    """
    source, may_train = source_of(config), training.may_train
    forms, layers = source.unfreeze_forms, source.layers(config)
    if training.peft and training.peft.method == "lora":
        # Only the built network has updates.
        may_train = ""
        if source.kernels_by is None:
            return [
                f"training.peft.method: got 'lora'; {source.record(config).name} has no kernels, as dense layers and "
                "convolutions have them. Expected another backbone, or no training.peft"
            ]
        if source.kernels_by == "name" and not isinstance(training.peft.targets, str):
            return [f"training.peft.targets: got {training.peft.targets}; {BY_NAME}"]

    def refusal(phase: PhaseConfig) -> str | None:
        form = _form(phase.unfreeze)
        if form and form not in forms:
            shown = ", ".join(["`none`", "`all`", *(f"`{{{each}: ...}}`" for each in forms)])
            return (
                f"unfreeze: got {str(phase.unfreeze)!r}; the layers of {source.record(config).name} cannot be told "
                f"apart; expected {shown}"
            )
        looked_at = form or phase.unfreeze.names_sides or (may_train and not phase.unfreeze.is_nothing)
        return _not_there(layers, phase.unfreeze, training.batch_norm, may_train) if looked_at and layers else None

    fitting = [name for name, strategy in STRATEGIES.items() if not any(map(refusal, strategy.phases))]
    advice = f"; or training.strategy {', '.join(fitting)}" if fitting else ""
    problems = {index: refusal(phase) for index, phase in enumerate(training.phases)}
    return [f"training.phases[{index}].{problem}{advice}" for index, problem in problems.items() if problem]


def _form(unfreeze: Unfreeze) -> str | None:
    """The form in which a phase says what is unfrozen; None for nothing and for all."""
    if unfreeze.last_layers == "all":
        return None
    return next((form for form in UNFREEZE_FORMS if getattr(unfreeze, form)), None)


def _not_there(layers: Sequence[Layer], unfreeze: Unfreeze, batch_norm: str, may_train: str) -> str | None:
    if (unfreeze.variables or may_train) and not any(layer.variables for layer in layers):
        return None  # Only the built network can tell.
    try:
        trainable_layers(layers, unfreeze, batch_norm, may_train)
    except BackboneError as error:
        return str(error).removesuffix(".")
    return None
