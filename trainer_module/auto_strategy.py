"""`training.strategy: auto`: which strategy fits a data set and a backbone, and why. No TensorFlow here."""

from __future__ import annotations

from finetune.config import STRATEGIES, TrainingConfig

# With few examples, logistic regression on frozen features is as good as fine-tuning or better (Kornblith et al. 2019),
# and fine-tuning distorts features that the task needs (Kumar et al. 2022). The papers give no line; 20 is ours.
FEW_PER_CLASS = 20
# Below this, BiT's hyper-parameter rule calls a data set small (Kolesnikov et al. 2020). From here on, all layers
# train.
MANY_EXAMPLES = 20_000
# Features of upper layers are more and more of the task that a backbone was pretrained on (Yosinski et al. 2014): where
# the data look different, some of them must move even for few examples, and all of them for more.
# In between, the fewer examples a parameter has, the less of the backbone should move. No paper gives this figure: it
# puts a backbone of 4 million parameters with 2,000 examples on the line.
PARAMETERS_PER_EXAMPLE = 2_000

AUTO_RULE = (
    f"fewer than {FEW_PER_CLASS} examples a class: linear_probe; two_phase for data unlike those of pretraining",
    f"{MANY_EXAMPLES:,} examples or more: full",
    "data unlike those of pretraining: discriminative",
    f"up to {PARAMETERS_PER_EXAMPLE:,} parameters of the backbone an example: discriminative",
    "more: two_phase",
)


def choose_training_strategy(
    examples: int, classes: int, parameters: int, similarity: str = "similar"
) -> tuple[str, str]:
    """Picks a strategy for a train split and a backbone of so many parameters.

    Returns:
        The name of the strategy, and the reason with its numbers.
    """
    per_class, per_example = examples / classes, parameters / examples
    unlike = similarity == "different"
    if per_class < FEW_PER_CLASS:
        reason = f"{per_class:.3g} examples a class are fewer than {FEW_PER_CLASS}"
        if unlike:
            return "two_phase", f"{reason}, but the data differ from those of pretraining"
        return "linear_probe", reason
    if examples >= MANY_EXAMPLES:
        return "full", f"{examples:,} examples are {MANY_EXAMPLES:,} or more"
    if unlike:
        return (
            "discriminative",
            f"the data differ from those of pretraining; {per_class:.3g} examples a class suffice",
        )
    if per_example <= PARAMETERS_PER_EXAMPLE:
        return "discriminative", (
            f"{per_class:.3g} examples a class are enough, and {per_example:,.0f} parameters of the backbone an "
            f"example are not above {PARAMETERS_PER_EXAMPLE:,}"
        )
    return "two_phase", f"{per_example:,.0f} parameters of the backbone an example are above {PARAMETERS_PER_EXAMPLE:,}"


def with_phases(training: TrainingConfig, examples: int, classes: int, parameters: int) -> tuple[TrainingConfig, str]:
    """Fills in the phases where `auto` left them open.

    Returns:
        The training with phases, and a sentence that says what was chosen and why; empty if nothing was.
    """
    if training.phases:
        return training, ""
    name, reason = choose_training_strategy(examples, classes, parameters, training.similarity)
    phases = list(STRATEGIES[name].phases)
    return training.model_copy(update={"phases": phases}), f"strategy auto: {name}, because {reason}"
