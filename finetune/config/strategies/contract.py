"""The contract of `Strategy`, which every entry of `STRATEGIES` keeps."""

from __future__ import annotations

from pydantic import ValidationError

from finetune.config.strategies import AUTO, STRATEGIES
from finetune.config.training import TrainingConfig


def check_strategy(name: str) -> None:
    """Holds a strategy against what configs, plans and the Trainer rely on.

    Args:
        name: Key of the table.

    Raises:
        AssertionError: The strategy breaks the contract; the message says how.
    """
    strategy = STRATEGIES[name]
    assert name != AUTO, f"{AUTO!r} is the wish that the Trainer picks a strategy, and no name of one"
    assert strategy.why.strip().endswith("."), f"{name} does not say in a sentence what it is for"
    assert strategy.phases, f"{name} has no phase"
    try:
        training = TrainingConfig.model_validate({"strategy": name})
    except ValidationError as error:
        raise AssertionError(f"{name}: a config that names it is not valid: {error}") from None
    assert training.phases == list(strategy.phases), f"{name}: a config that names it has other phases"
    again = TrainingConfig.model_validate_json(training.model_dump_json())
    assert again.phases == training.phases, f"{name}: its phases do not survive being written down"
    first, *later = strategy.phases
    assert first.unfreeze.is_nothing, (
        f"{name}: phase {first.name} trains {first.unfreeze} together with a head of random weights, whose first "
        "gradients spoil what the backbone has learned; begin with a phase for the head alone"
    )
    for phase in later:
        assert phase.learning_rate <= first.learning_rate, (
            f"{name}: phase {phase.name} trains the backbone at {phase.learning_rate:g}, faster than the head at "
            f"{first.learning_rate:g}"
        )
