"""What a config would do, as plain decisions and text. No TensorFlow here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from components.example_gen.modalities import MODALITIES as INGEST_MODALITIES
from evaluation.data_checks.chosen import chosen_checks
from evaluation.foresight import APART, Sizes, foresee, will_show
from evaluation.tasks import gates_for
from finetune.buckets import is_bucket
from finetune.config import Config, DistillationConfig, PeftConfig, PhaseConfig, TrainingConfig, TuningConfig
from finetune.config.distillation import CHAMPION
from finetune.config.strategies import AUTO
from finetune.errors import BackboneError, DataError
from pipeline.data_roots import roots_of
from pipeline.frozen_features_plan import count_examples, frozen_features_lines, planner_of
from pipeline.split_sizes import expected_sizes
from trainer_module.backbones.sources import record_of, source_of
from trainer_module.peft.targets import chosen
from trainer_module.search.candidates import candidates_for, training_of
from trainer_module.search.decisions import MOST_PARTS, Room, assumed, expected_seconds, that_fit
from transforms.modalities import MODALITIES

# Adam's own default (Kingma and Ba 2015), which a practitioner without a pretrained backbone would begin with.
SCRATCH_LEARNING_RATE = 1e-3
SPANS_SHOWN = 8
# The nodes that read data with Beam, where the DAG has them.
BEAM_NODES = (
    *(modality.node_id for modality in INGEST_MODALITIES.values() if modality.on_beam),
    "StatisticsGen",
    "Transform",
    "BulkInferrer",
    "Evaluator",
)


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
    # What frozen random weights give is nothing to fit a head on.
    head = training.head.model_copy(update={"start": "random"})
    begins = {"start_from": "backbone", "distillation": None, "peft": None}
    own = {"phases": [phase], "batch_norm": "train", "head": head, **begins}
    return training.model_copy(update=own)


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
        *(["TrainingDataResolver", "DataGate"] if chosen_checks(config.data.checks) else []),
        *(["LinearTrainer"] if "logistic_regression" in config.evaluation.baselines else []),
        *(["ScratchTrainer"] if "from_scratch" in config.evaluation.baselines else []),
        *(["WarmStartResolver"] if config.training.start_from != "backbone" else []),
        *_teaching(config.training.distillation),
        *(["Tuner"] if config.tuning.is_on else []),
        "Trainer",
        "ChampionResolver",
        *(["SourceExampleGen"] if config.evaluation.source_task else []),
        "BulkInferrer",
        "Evaluator",
        "ServingGate",
        *(["SourceProbe"] if config.evaluation.source_task else []),
        "GateKeeper",
        "Pusher",
    ]


def _teaching(distillation: DistillationConfig | None) -> list[str]:
    if distillation is None:
        return []
    return ["TeacherResolver", "Teacher"] if distillation.teacher == CHAMPION else ["Teacher"]


def print_warnings(config: Config, sizes: Mapping[str, Sizes] | None, console: Console) -> None:
    """Prints a sentence for each gate that no candidate could pass, or none could fail.

    Args:
        config: Of the pipeline.
        sizes: Of its splits, as they are expected; None prints nothing.
        console: Where to.
    """
    gates = gates_for(config)
    for sentence in foresee(gates, config.task, sizes["test"], sizes["train"]) if sizes else []:
        console.print(f"[yellow]warning[/yellow]    {escape(sentence)}", highlight=False, soft_wrap=True)


def print_plan(config: Config, console: Console) -> None:
    """Prints nodes, backbone, phases, gates and places."""
    record = record_of(config.backbone)
    shown = MODALITIES[record.modality].describe(record)
    console.print(f"[bold]{config.name}[/bold]", highlight=False)
    console.print("nodes      " + " > ".join(node_ids(config)), highlight=False)
    console.print(f"data       {config.data.root} ({config.data.layout})", highlight=False)
    if config.data.in_spans and not is_bucket(config.data.root):
        console.print(f"spans      {escape(_spans(config))}", highlight=False, soft_wrap=True)
    console.print(f"backbone   {record.name}, {shown}, weights: {config.backbone.source}", highlight=False)
    if config.training.peft:
        console.print(f"peft       {escape(_peft(config, config.training.peft))}", highlight=False, soft_wrap=True)
    if config.training.strategy == AUTO:
        _print_candidates(config, console)
    else:
        console.print(_phases(config.training.phases, config.training.peft))
        for place, line in enumerate(frozen_features_lines(config)):
            console.print(f"{'' if place else 'frozen':<11}{line}", highlight=False, soft_wrap=True)
    if config.tuning.is_on:
        console.print(f"tuning     {escape(_search(config.tuning))}", highlight=False, soft_wrap=True)
    sizes = expected_sizes(config)
    of_how_many = f" of about {sizes['test'].examples:,} examples" if sizes else ""
    if config.training.start_from == "champion":
        each = f"each phase for {config.training.warm_share:g} of its time"
        console.print(
            f"start      from the champion where there is one, {each}; else from the backbone", highlight=False
        )
    if taught := config.training.distillation:
        console.print(
            f"teacher    {taught.teacher}, temperature {taught.temperature:g}, {taught.weight:.0%} of the loss"
            + (f"; pictures without labels in {taught.unlabelled}" if taught.unlabelled else ""),
            highlight=False,
            soft_wrap=True,
        )
    if config.evaluation.source_task:
        console.print(f"probed     {config.evaluation.source_task}", highlight=False, soft_wrap=True)
    gates = Table(f"gate on the test split{of_how_many}", "shows a distance from", box=None, pad_edge=False)
    for gate in gates_for(config):
        least = will_show(gate, sizes["test"]) if sizes else None
        assumed = f", if the models differ on {APART:.0%}" if gate.relative_to else ""
        gates.add_row(gate.name, f"{least:.3f}{assumed}" if least is not None else "")
    console.print(gates)
    print_warnings(config, sizes, console)
    console.print(f"output     {config.output_path}\npushes to  {config.push_path}", highlight=False, soft_wrap=True)


def _search(tuning: TuningConfig) -> str:
    """What the Tuner does, in words."""
    minutes = f", no more after {tuning.minutes:g} minutes" if tuning.minutes else ""
    method = tuning.method.replace("_", " ")
    return f"{method}, at most {tuning.trials} trials{minutes}, by {tuning.metric}, of {', '.join(tuning.space)}"


def _peft(config: Config, peft: PeftConfig) -> str:
    """Says what trains of what phases unfreeze, and where it is known how much that is."""
    known = source_of(config.backbone).kernels(config.backbone) if peft.method == "lora" else None
    if known is None:
        return f"{peft}; `finetune plan --layers` counts what trains"
    kernels, parameters = known
    try:
        updated = chosen(kernels, peft, parameters)
    except BackboneError as error:
        return str(error)
    trained = sum(each.size(peft.rank) for each in updated)
    return (
        f"{peft}: {len(updated)} kernels from {updated[0].layer} to {updated[-1].layer}; {trained:,} parameters train "
        f"of the backbone's {parameters:,} ({trained / parameters:.2%})"
    )


def _spans(config: Config) -> str:
    """The folders of the spans that would be read now, or why there are none."""
    try:
        roots = roots_of(config.data)
    except DataError as error:
        return str(error)
    shown = roots if len(roots) <= SPANS_SHOWN else [*roots[:1], "...", *roots[1 - SPANS_SHOWN :]]
    return f"{len(roots)}: {', '.join(shown)}"


_ROOMS = {Room.NONE: "does not fit", Room.NO_LAST_FIT: "fits without a last fit on train and val", Room.ALL: "fits"}


def _print_candidates(config: Config, console: Console) -> None:
    """Prints what `auto` tries, how long each takes as far as that is known, and what there is room for."""
    training, kind = config.training, record_of(config.backbone).kind
    budget = f"{training.budget_minutes:g} minutes for search and last fit together"
    console.print(f"auto       {budget}; from a fitted head on, the Trainer tries what fits:", highlight=False)
    candidates = candidates_for(kind, training, config.augmentation)
    console.print(_phases([phase for candidate in candidates for phase in candidate.phases], training.peft))
    counted = count_examples(config.data)
    found = [(each, planner_of(config, training_of(each, training), counted)) for each in candidates]
    known = [(each, planner, expected_seconds(assumed(planner), planner)) for each, planner in found if planner]
    last_fits = [(1 + planner.val / planner.train) * each * training.refit for _, planner, each in known]
    rooms = that_fit([each for *_, each in known], last_fits, 0.0, 60 * training.budget_minutes)
    for (candidate, _, each), room in zip(known, rooms, strict=True):
        told = f"{_ROOMS[room]}, by about {each / 60:,.1f} min on two cores"
        console.print(f"           {candidate.name}: {told if candidate.phases else 'always'}", highlight=False)
    console.print("           What a step takes here, and so what fits, the Trainer measures.", highlight=False)
    further = f"If validation leaves it open, up to {MOST_PARTS} parts of train judge too."
    console.print(f"           {further}", highlight=False)


def _phases(phases: Sequence[PhaseConfig], peft: PeftConfig | None) -> Table:
    table = Table("phase", "trains", "at most", "optimizer", "rate", "stops early after", box=None, pad_edge=False)
    part = f"{peft.method} of" if peft else "of the backbone"
    for phase in phases:
        stopping = phase.early_stopping
        table.add_row(
            phase.name,
            "head" if phase.unfreeze.is_nothing else f"head; {part} {phase.unfreeze}",
            phase.duration,
            phase.optimizer.name,
            _rate(phase),
            f"{stopping.patience} epochs without gain" if stopping else "never",
        )
    return table


def _rate(phase: PhaseConfig) -> str:
    """The rate and what changes it, such as `1e-05, cosine after 5 epochs of warm-up, x 0.38 a block`."""
    schedule = phase.schedule
    warm_up = f" after {schedule.warmup_epochs:g} epochs of warm-up" if schedule.warmup_epochs else ""
    shape = f", {schedule.name}{warm_up}" if warm_up or schedule.name != "constant" else ""
    factor = f", x {phase.block_rate_factor:g} a block" if phase.block_rate_factor < 1 else ""
    return f"{phase.learning_rate:g}{shape}{factor}"
