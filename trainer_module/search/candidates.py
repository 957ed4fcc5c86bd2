"""What `training.strategy: auto` tries, from cheap to dear: one entry more is one candidate more. No TensorFlow here.

The first is the fitted head as it is, with no phase; all others begin with it (LP-FT, Kumar et al. 2022)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import mean

from finetune.config import AugmentationConfig, OptimizerConfig, PhaseConfig, TrainingConfig, Unfreeze
from finetune.config.head import RegularizersConfig
from finetune.config.phases import ScheduleConfig

# The penalty of the fit has shaped the head already.
_PLAIN_HEAD = RegularizersConfig(dropout=0.0, spatial_dropout=0.0, l1=0.0, l2=0.0)
_ALL = Unfreeze(last_layers="all")
_ADAMW = OptimizerConfig(name="adamw")
# Of sounds. Pictures lose by it: it leaves a model unsure in a way that no temperature takes back.
SMOOTHING = 0.1


@dataclass(frozen=True)
class Candidate:
    """A candidate is a way to train that is tried.

    Attributes:
        name: It is the same in summary and report.
        why: A sentence: what it is for.
        phases: They follow the fitted head; none leave it as it is.
        label_smoothing: In place of `training.label_smoothing` where that is 0.
    """

    name: str
    why: str
    phases: tuple[PhaseConfig, ...] = ()
    label_smoothing: float = 0.0


def _to_the_end(
    name: str,
    unfreeze: Unfreeze,
    epochs: int,
    rate: float,
    augmentation: AugmentationConfig,
    optimizer: OptimizerConfig = _ADAMW,
) -> PhaseConfig:
    """Returns a phase that runs its whole cosine and then goes back as far as validation asks (WiSE-FT)."""
    return PhaseConfig(
        name=name,
        unfreeze=unfreeze,
        epochs=epochs,
        learning_rate=rate,
        optimizer=optimizer,
        schedule=ScheduleConfig(name="cosine", warmup_epochs=epochs / 10),
        early_stopping=None,
        keep="last",
        interpolation="validation",
        augmentation=augmentation,
        regularizers=_PLAIN_HEAD,
    )


_MUCH = AugmentationConfig(horizontal_flip=True, random_resized_crop=0.5, brightness=0.1, contrast=0.2)

PROBE = Candidate("probe", "The fitted head alone: what pretraining gives.")

PICTURES = (
    PROBE,
    Candidate(
        "top_blocks",
        "The last two blocks on what the frozen rest gives once for each picture and its copies.",
        (
            _to_the_end(
                "top_blocks",
                Unfreeze(last_blocks=2),
                epochs=10,
                rate=3e-4,
                augmentation=AugmentationConfig(horizontal_flip=True, views=4),
            ),
        ),
    ),
    Candidate(
        "all_layers_briefly",
        "All layers at a high rate on pictures that change much, for a few epochs.",
        (_to_the_end("all_layers_briefly", _ALL, epochs=6, rate=3e-4, augmentation=_MUCH),),
    ),
    Candidate(
        "all_layers",
        "All layers at a high rate on pictures that change much.",
        (_to_the_end("all_layers", _ALL, epochs=12, rate=3e-4, augmentation=_MUCH),),
    ),
)

_ALL_BRIEFLY = Candidate(
    "all_layers_briefly",
    "All layers at the rate and for the epochs that encoders of texts are fine-tuned with (Devlin et al. 2019).",
    (_to_the_end("all_layers_briefly", _ALL, epochs=4, rate=3e-5, augmentation=AugmentationConfig()),),
)

TEXTS = (
    PROBE,
    Candidate(
        "top_blocks",
        "The last two blocks on what the frozen rest gives once for each text.",
        (_to_the_end("top_blocks", Unfreeze(last_blocks=2), epochs=4, rate=1e-4, augmentation=AugmentationConfig()),),
    ),
    _ALL_BRIEFLY,
)

WORD_TABLES = (
    PROBE,
    _ALL_BRIEFLY,
    Candidate(
        "all_layers",
        "All layers at the rate that tables of words want, with decay: most of their words occur once or twice.",
        (
            _to_the_end(
                "all_layers",
                _ALL,
                epochs=8,
                rate=3e-3,
                augmentation=AugmentationConfig(),
                optimizer=OptimizerConfig(name="adamw", weight_decay=0.1),
            ),
        ),
    ),
)

SOUNDS = (
    PROBE,
    Candidate(
        "all_layers_briefly",
        "All layers for a few epochs on sounds that change little.",
        (
            _to_the_end(
                "all_layers_briefly",
                _ALL,
                epochs=5,
                rate=1e-4,
                augmentation=AugmentationConfig(time_shift=0.1, gain_db=6),
            ),
        ),
        label_smoothing=SMOOTHING,
    ),
    Candidate(
        "all_layers",
        "All layers at a high rate on sounds that change much.",
        (
            _to_the_end(
                "all_layers",
                _ALL,
                epochs=15,
                rate=3e-4,
                augmentation=AugmentationConfig(time_shift=0.1, gain_db=6, time_mask=10, band_mask=8),
            ),
        ),
        label_smoothing=SMOOTHING,
    ),
)

# By `Backbone.kind`.
CANDIDATES: dict[str, tuple[Candidate, ...]] = {
    "audio": SOUNDS,
    "image": PICTURES,
    "text": TEXTS,
    "word table": WORD_TABLES,
}


def candidates_for(kind: str, training: TrainingConfig, augmentation: AugmentationConfig) -> tuple[Candidate, ...]:
    """Lists what is tried of a kind of backbones: what the table has, and phases of one's own as the last."""
    known = [_adapted(candidate, augmentation) for candidate in CANDIDATES.get(kind, (PROBE,))]
    own = [Candidate("own_phases", "The phases that the config names.", tuple(training.phases))]
    return (*known, *(own if training.phases else []))


def training_of(candidate: Candidate, training: TrainingConfig) -> TrainingConfig:
    """Returns the training that a candidate stands for."""
    smoothing = training.label_smoothing or (0.0 if training.focal_gamma else candidate.label_smoothing)
    return training.model_copy(update={"phases": list(candidate.phases), "label_smoothing": smoothing})


def _adapted(candidate: Candidate, own: AugmentationConfig) -> Candidate:
    """Changes pictures as the config asks on top: it alone knows whether a mirror image is of the same class."""
    phases = [
        phase.model_copy(update={"augmentation": joined(phase.augmentation, own)}) if phase.augmentation else phase
        for phase in candidate.phases
    ]
    return replace(candidate, phases=tuple(phases))


def joined(wanted: AugmentationConfig, own: AugmentationConfig) -> AugmentationConfig:
    """Returns a candidate's augmentation with what the config names in its place; flips only where it has them."""
    named = {name: value for name, value in own if value and name != "views"}
    return wanted.model_copy(update={**named, "horizontal_flip": own.horizontal_flip})


def mean_shares(*parts: Sequence[dict]) -> list[dict]:
    """Returns the rows of a training on the first part, each phase as far on the line to its end as the mean of all.

    Few examples say little of how far that should be.

    Args:
        parts: Of each part of the examples, a row a phase, as in the summary.
    """
    found = []
    for row, *others in zip(*parts, strict=True):
        shares = [each["interpolation"] for each in (row, *others) if each.get("interpolation") is not None]
        found.append({**row, "interpolation": round(mean(shares), 4)} if shares else row)
    return found


def last_fit(training: TrainingConfig, rows: Sequence[dict], steps_per_epoch: int) -> TrainingConfig:
    """Returns the training once more, for the steps that were best and without a look at validation.

    Args:
        training: Its phases.
        rows: What became of each, as in the summary.
        steps_per_epoch: Of the training that gave the rows.
    """
    phases = []
    for phase, row in zip(training.phases, rows, strict=True):
        most = phase.steps or row["epochs"] * steps_per_epoch
        steps = min(row["best_epoch"] * steps_per_epoch, most)
        share = row.get("interpolation")
        if not steps or share == 0:
            continue
        changes = {"epochs": None, "examples": None, "steps": steps, "early_stopping": None, "keep": "last"}
        phases.append(phase.model_copy(update={**changes, "name": f"refit_{phase.name}", "interpolation": share}))
    return training.model_copy(update={"phases": phases})
