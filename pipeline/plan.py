"""What a config would do, as plain decisions and text. No TensorFlow here."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from components.example_gen.modalities import MODALITIES as INGEST_MODALITIES
from evaluation.tasks import gates_of
from finetune.config import Config, PhaseConfig, TrainingConfig
from pipeline.frozen_features_plan import frozen_features_lines
from trainer_module.auto_strategy import AUTO_RULE
from trainer_module.backbones.sources import record_of
from transforms.modalities import MODALITIES

# Adam's own default (Kingma and Ba 2015), which a practitioner without a pretrained backbone would begin with.
SCRATCH_LEARNING_RATE = 1e-3
# The nodes that read data with Beam, where the DAG has them.
BEAM_NODES = ("ImageExampleGen", "StatisticsGen", "Transform", "Evaluator")


def scratch_training(training: TrainingConfig) -> TrainingConfig:
    """The training of the from-scratch baseline.

    Everything trains, for as long as all phases together, and BatchNorm gathers its statistics, without which
    random weights do not train well.
    """
    unit = next(unit for unit in ("epochs", "steps", "examples") if getattr(training.phases[0], unit))
    phase = PhaseConfig(
        name="from_scratch",
        unfreeze="all",
        **{unit: sum(getattr(phase, unit) for phase in training.phases)},
        learning_rate=SCRATCH_LEARNING_RATE,
        early_stopping=training.phases[-1].early_stopping,
    )
    return training.model_copy(update={"phases": [phase], "batch_norm": "train"})


def ingest_node_id(config: Config) -> str:
    """The node that reads the data."""
    return INGEST_MODALITIES[record_of(config.backbone).modality].node_id


def node_ids(config: Config) -> list[str]:
    """The nodes of the DAG in the order that they run; a test holds it against the compiled pipeline."""
    return [
        ingest_node_id(config),
        *(["ImportSchemaGen", "StatisticsGen"] if config.data.schema_file else ["StatisticsGen", "SchemaGen"]),
        "ExampleValidator",
        "Transform",
        *(["LinearTrainer"] if "logistic_regression" in config.evaluation.baselines else []),
        *(["ScratchTrainer"] if "from_scratch" in config.evaluation.baselines else []),
        "Trainer",
        "ChampionResolver",
        "BulkInferrer",
        "Evaluator",
        "ServingGate",
        "GateKeeper",
        "Pusher",
    ]


def print_plan(config: Config, console: Console) -> None:
    """Prints nodes, backbone, phases, gates and places."""
    record = record_of(config.backbone)
    shown = MODALITIES[record.modality].describe(record)
    console.print(f"[bold]{config.name}[/bold]", highlight=False)
    console.print("nodes      " + " > ".join(node_ids(config)), highlight=False)
    console.print(f"data       {config.data.root} ({config.data.layout})", highlight=False)
    console.print(f"backbone   {record.name}, {shown}, weights: {config.backbone.source}", highlight=False)
    phases = Table("phase", "trains", "at most", "optimizer", "rate", "stops early after", box=None, pad_edge=False)
    for phase in config.training.phases:
        stopping = phase.early_stopping
        phases.add_row(
            phase.name,
            "head" if phase.unfreeze.is_nothing else f"head; of the backbone {phase.unfreeze}",
            phase.duration,
            phase.optimizer.name,
            _rate(phase),
            f"{stopping.patience} epochs without gain" if stopping else "never",
        )
    if config.training.phases:
        console.print(phases)
        for place, line in enumerate(frozen_features_lines(config)):
            console.print(f"{'' if place else 'frozen':<11}{line}", highlight=False, soft_wrap=True)
    else:
        console.print("phases     chosen by the Trainer when it has counted the examples:", highlight=False)
        for line in AUTO_RULE:
            console.print(f"           {line}", highlight=False)
    gates = Table("gate on the test split", box=None, pad_edge=False)
    for gate in gates_of(config.task, config.evaluation.gates):
        gates.add_row(gate.name)
    console.print(gates)
    console.print(f"output     {config.output_path}\npushes to  {config.push_path}", highlight=False, soft_wrap=True)


def _rate(phase: PhaseConfig) -> str:
    """The rate and what changes it, such as `1e-05, cosine after 5 epochs of warm-up, x 0.38 a block`."""
    schedule = phase.schedule
    warm_up = f" after {schedule.warmup_epochs:g} epochs of warm-up" if schedule.warmup_epochs else ""
    shape = f", {schedule.name}{warm_up}" if warm_up or schedule.name != "constant" else ""
    factor = f", x {phase.block_rate_factor:g} a block" if phase.block_rate_factor < 1 else ""
    return f"{phase.learning_rate:g}{shape}{factor}"
